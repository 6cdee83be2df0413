%% SPDX-License-Identifier: Apache-2.0
%% @doc Sockets that are handed over to Python: how many per second, and how many round
%% trips over them, beside the same with a process of Erlang for each.
-module(bench_reactor).

-export([run/1]).

-define(CALLERS, 64).
-define(TIMEOUT, 60000).

%% @doc Over a context of its own.
-spec run(bench_ways:ways()) -> bench:part().
run(_) ->
    Options = #{setup_code => code(), max_connections => infinity},
    {ok, Ctx} = py_reactor_context:start_link(bench, auto, Options),
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {nodelay, true},
                                        {ip, {127, 0, 0, 1}}, {backlog, 1024}]),
    Trips = rates([{Name, N} || N <- [1, ?CALLERS], Name <- [process, reactor, asyncio]],
                  fun({Name, _}) -> trips(Name, Ctx, Listener) end),
    Made = rates([{Name, 1} || Name <- [process, reactor]],
                 fun({Name, _}) -> connections(Name, Ctx, Listener) end),
    ok = gen_tcp:close(Listener),
    ok = py_reactor_context:stop(Ctx),
    #{tables => [trips_table(Trips), made_table(Made)],
      keys => #{reactor_echo_per_second => maps:get({reactor, ?CALLERS}, Trips),
                reactor_handoffs_per_second => maps:get({reactor, 1}, Made)}}.

code() ->
    "from erlang import reactor, server\n"
    "class Echo(reactor.Protocol):\n"
    "    def data_received(self, data):\n"
    "        self.write_buffer += data\n"
    "        return 'write_pending'\n"
    "async def echo(reader, writer):\n"
    "    while data := await reader.read(65536): writer.write(data)\n"
    "    writer.close()\n"
    "async def adopt(fd, info): return await server.adopt(fd, echo)\n".

rates(Cases, Enter) ->
    Ms = bench_lib:pick(300, 150),
    Rounds = [[{Case, element(1, bench_lib:load(N, Ms, fun(_) -> Enter(Case) end))}
               || {_, N} = Case <- bench_lib:rotate(Round, Cases)]
              || Round <- lists:seq(1, rounds())],
    maps:from_list([{Case, bench_lib:median([proplists:get_value(Case, R) || R <- Rounds])}
                    || Case <- Cases]).

rounds() ->
    bench_lib:pick(3, 1).

%%% Cases

trips(Name, Ctx, Listener) ->
    Socket = connect(Name, Ctx, Listener),
    fun() ->
            ok = gen_tcp:send(Socket, <<"hello">>),
            {ok, <<"hello">>} = gen_tcp:recv(Socket, 5, ?TIMEOUT)
    end.

connections(Name, Ctx, Listener) ->
    fun() -> ok = gen_tcp:close(connect(Name, Ctx, Listener)) end.

%% Whoever connects may get another one's connection to serve: it is all the same.
connect(Name, Ctx, Listener) ->
    {ok, Port} = inet:port(Listener),
    Options = [binary, {active, false}, {nodelay, true}],
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Port, Options, ?TIMEOUT),
    {ok, Accepted} = gen_tcp:accept(Listener, ?TIMEOUT),
    ok = serve(Name, Ctx, Accepted),
    Socket.

serve(process, _, Accepted) ->
    Pid = spawn(fun() -> receive go -> echo(Accepted) end end),
    ok = gen_tcp:controlling_process(Accepted, Pid),
    Pid ! go,
    ok;
serve(reactor, Ctx, Accepted) ->
    hand_over(Ctx, Accepted, #{protocol => {'__main__', 'Echo'}});
serve(asyncio, Ctx, Accepted) ->
    hand_over(Ctx, Accepted, #{handler => {'__main__', adopt}}).

hand_over(Ctx, Accepted, Info) ->
    {ok, Number} = inet:getfd(Accepted),
    {ok, Fd} = py:dup_fd(Number),
    ok = gen_tcp:close(Accepted),
    py_reactor_context:handoff(Ctx, Fd, Info).

echo(Socket) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Data} -> _ = gen_tcp:send(Socket, Data), echo(Socket);
        {error, _} -> gen_tcp:close(Socket)
    end.

%%% What came of it

trips_table(Rates) ->
    Row = fun(Title, Name) ->
                  {Title, lists:append([[maps:get({Name, N}, Rates),
                                         maps:get({Name, N}, Rates) / maps:get({process, N}, Rates)]
                                        || N <- [1, ?CALLERS]])}
          end,
    #{title => "sockets in Python: round trips of 5 bytes per second, one context",
      notes => [[bench_lib:rounds_text(rounds()), "; each caller has a connection, over TCP"],
                "the ratio is to a process of Erlang for each connection"],
      columns => [{"1 caller", count}, {"ratio", ratio_plain},
                  {"64 callers", count}, {"ratio", ratio_plain}],
      rows => [Row("erlang.reactor", reactor), Row("erlang.server, streams", asyncio),
               Row("  gen_tcp", process)]}.

made_table(Rates) ->
    Row = fun(Title, Name) ->
                  {Title, [maps:get({Name, 1}, Rates),
                           maps:get({Name, 1}, Rates) / maps:get({process, 1}, Rates)]}
          end,
    #{title => "sockets in Python: connections per second",
      notes => [[bench_lib:rounds_text(rounds()), "; connected, accepted, given away, closed"]],
      columns => [{"per second", count}, {"ratio", ratio_plain}],
      rows => [Row("handed over to a reactor", reactor),
               Row("  given to a process of Erlang", process)]}.
