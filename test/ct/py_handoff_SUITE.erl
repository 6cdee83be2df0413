%% SPDX-License-Identifier: Apache-2.0
%% @doc Descriptors of all kinds that go to Python, in numbers; and who has them when
%% those end that are concerned.
-module(py_handoff_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-import(py_fds, [with/2, echo/1, pair/0, copy/1, said/2, heard/2, closed/1, still_ours/1,
                 stats/1, connections/2, log/1, target/1, busy/1, under_way/2]).

-define(WAIT, 60000).

suite() -> [{timetrap, {minutes, 4}}].

all() ->
    [pipes, unix_sockets, regular_file, otp_socket, no_descriptors_left, thousand, from_many,
     caller_dies, taken_back, server_dies, owner_dies, context_stops_meanwhile, renewed, stops,
     loop_stops,
     asyncio_server, asyncio_connections, asyncio_refuses, reactor_listens,
     reactor_listens_up_to, handlers, under_one_limit, servers_under_it,
     without_a_network, strictly_locked_up].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}]),
    {ok, 1} = py:eval("1"), % all is there that is counted
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    [{before, py_ct:census()} | Config].

end_per_testcase(_, Config) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:settled(proplists:get_value(before, Config)).

%%% Kinds

%% A program's standard input and output: Python writes one and reads the other.
pipes(_) ->
    Before = links(),
    Cat = open_port({spawn, "cat"}, [binary]),
    [A, B] = [N || {N, "pipe:" ++ _} <- links() -- Before],
    [{ok, In}, {ok, Out}] = [py:dup_fd(N) || {N, true} <- [{A, writable(A)}, {B, writable(B)}]]
                            ++ [py:dup_fd(N) || N <- [A, B], not writable(N)],
    true = port_close(Cat),
    with(#{}, fun(Ctx) ->
        ok = py_reactor_context:handoff(Ctx, Out, #{protocol => target('Logs')}),
        ok = py_reactor_context:handoff(Ctx, In, #{protocol => target('Says')}),
        py_ct:eventually(fun() -> log(Ctx) =:= [<<"said">>] end),
        {ok, true} = py:eval(Ctx, "reactor.close_connection(*[e.fd for e in __import__("
                             "'erlang._connection')._connection.entries.values() "
                             "if isinstance(e.protocol, Says)])"),
        connections(Ctx, 0), % cat has ended as well
        ?assertEqual([<<"said">>, <<"lost">>, <<"lost">>], log(Ctx))
    end).

links() ->
    {ok, Numbers} = file:list_dir("/proc/self/fd"),
    [{list_to_integer(N), Link} || N <- Numbers,
                                   {ok, Link} <- [file:read_link("/proc/self/fd/" ++ N)]].

writable(N) ->
    {ok, Info} = file:read_file("/proc/self/fdinfo/" ++ integer_to_list(N)),
    {match, [Flags]} = re:run(Info, "flags:\\s*([0-7]+)", [{capture, [1], list}]),
    list_to_integer(Flags, 8) band 3 =:= 1.

unix_sockets(_) ->
    {ok, Cwd} = file:get_cwd(),
    Name = "terrarium-test-" ++ os:getpid(),
    Path = case filename:join(Cwd, Name) of
               Long when length(Long) < 100 -> Long;
               _ -> "/tmp/" ++ Name
           end,
    echo(fun(Ctx) ->
        {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {ifaddr, {local, Path}}]),
        {ok, Ours} = gen_tcp:connect({local, Path}, 0, [binary, {active, false}], ?WAIT),
        {ok, Theirs} = gen_tcp:accept(Listener, ?WAIT),
        ok = gen_tcp:close(Listener),
        ok = file:delete(Path),
        ok = py_reactor_context:handoff(Ctx, copy(Theirs), #{type => unix}),
        said(Ours, <<"by a path">>),
        ok = gen_tcp:close(Ours),
        connections(Ctx, 0)
    end).

regular_file(Config) ->
    Path = filename:join(proplists:get_value(priv_dir, Config), "file"),
    {ok, File} = file:open(Path, [write, raw]),
    [Number] = [N || {N, Link} <- links(), lists:suffix("/file", Link)],
    {ok, Fd} = py:dup_fd(Number),
    ok = file:close(File),
    echo(fun(Ctx) ->
        ?assertEqual({error, {"ValueError", "a regular file can not be waited for"}},
                     py_reactor_context:handoff(Ctx, Fd))
    end),
    ok = py:close_fd(Fd).

otp_socket(_) ->
    {ok, Listener} = socket:open(inet, stream, tcp),
    ok = socket:bind(Listener, #{family => inet, addr => {127, 0, 0, 1}, port => 0}),
    ok = socket:listen(Listener),
    {ok, #{port := Port}} = socket:sockname(Listener),
    {ok, Ours} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}], ?WAIT),
    {ok, Theirs} = socket:accept(Listener, ?WAIT),
    {ok, Number} = socket:getopt(Theirs, {otp, fd}),
    {ok, Fd} = py:dup_fd(Number),
    [ok = socket:close(S) || S <- [Theirs, Listener]],
    echo(fun(Ctx) ->
        ok = py_reactor_context:handoff(Ctx, Fd),
        said(Ours, <<"of the other kind">>),
        ok = gen_tcp:close(Ours)
    end).

%%% Numbers

%% The helper has no number left for it: it stays here.
no_descriptors_left(_) ->
    echo(fun(Ctx) ->
        {First, FirstFd} = pair(),
        ok = py_reactor_context:handoff(Ctx, FirstFd),
        ok = py:exec(Ctx, "import resource\n"
                     "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
                     "def limit(n): resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))\n"
                     "used = max(map(int, os.listdir('/proc/self/fd')))\n"
                     "filled = []\n"
                     "limit(used + 1)\n"
                     "try:\n"
                     "    while True: filled.append(os.dup(2))\n"
                     "except OSError: pass\n"),
        {Ours, Fd} = pair(),
        ?assertEqual({error, not_received}, py_reactor_context:handoff(Ctx, Fd)),
        said(First, <<"all is well">>),
        ok = py:exec(Ctx, "limit(1000)\nfor n in filled: os.close(n)"),
        ok = py_reactor_context:handoff(Ctx, Fd),
        [begin said(S, <<"here">>), ok = gen_tcp:close(S) end || S <- [First, Ours]]
    end).

thousand(_) ->
    echo(fun(Ctx) ->
        Once = fun() ->
                       {Ours, Fd} = pair(),
                       ok = py_reactor_context:handoff(Ctx, Fd),
                       said(Ours, <<"x">>),
                       ok = gen_tcp:close(Ours)
               end,
        Once(),
        connections(Ctx, 0),
        {ok, Helper} = py:eval(Ctx, "fds()"),
        Here = length(links()),
        [Once() || _ <- lists:seq(1, 1000)],
        connections(Ctx, 0),
        ?assertEqual({ok, Helper}, py:eval(Ctx, "fds()")),
        py_ct:eventually(fun() -> length(links()) =< Here end),
        ?assertMatch(#{total_connections := 1001, failed := 0, refused := 0}, stats(Ctx))
    end).

from_many(_) ->
    echo(fun(Ctx) ->
        Results = py_ct:parallel(50, fun(I) ->
            [begin
                 {Ours, Fd} = pair(),
                 ok = py_reactor_context:handoff(Ctx, Fd, #{n => I}),
                 said(Ours, <<I, J>>),
                 gen_tcp:close(Ours)
             end || J <- lists:seq(1, 10)]
        end),
        ?assertEqual(lists:duplicate(50, lists:duplicate(10, ok)), Results),
        connections(Ctx, 0),
        ?assertMatch(#{total_connections := 500}, stats(Ctx))
    end).

%%% Ends

%% It goes on for a caller that has been killed, so that the descriptor has an owner.
caller_dies(_) ->
    {Ours, Fd} = pair(),
    echo(fun(Ctx) ->
        Done = busy(Ctx),
        {Caller, Mon} = spawn_monitor(fun() -> py_reactor_context:handoff(Ctx, Fd) end),
        under_way(Ctx, 1),
        exit(Caller, kill),
        receive {'DOWN', Mon, process, _, killed} -> ok end,
        Done(),
        said(Ours, <<"taken">>),
        under_way(Ctx, 0), % Python may be quicker than the VM is in closing its copy
        ?assertEqual({error, ebadf}, py:close_fd(Fd)),
        ok = gen_tcp:close(Ours)
    end).

%% The number may be another descriptor's by the time at which it would be sent.
taken_back(_) ->
    with(#{}, fun(Ctx) ->
        {Ours, Fd} = pair(),
        Claim = py_fd:claim(),
        true = py_fd:revoke(Claim),
        Args = [#{}, none, {<<"protocol">>, <<"__main__">>, <<"Tells">>}],
        {Result, Finish} = py_fd:give(Ctx, Fd, Claim, Args, ?WAIT),
        ?assertEqual({error, timeout}, Result),
        ok = Finish(),
        ?assertEqual({error, timeout}, gen_tcp:recv(Ours, 0, 0)),
        still_ours({Ours, Fd})
    end).

%% What it was about to hand over stays ours.
server_dies(_) ->
    process_flag(trap_exit, true),
    Pairs = [pair() || _ <- lists:seq(1, 20)],
    {ok, Ctx} = py_reactor_context:start_link(test, auto, #{protocol => target('Echo'),
                                                            setup_code => py_fds:code()}),
    _ = busy(Ctx),
    Self = self(),
    Callers = [spawn_link(fun() -> Self ! {self(), py_reactor_context:handoff(Ctx, Fd)} end)
               || {_, Fd} <- Pairs],
    under_way(Ctx, 20),
    {Server, _} = py_registry:reactor(Ctx),
    exit(Server, kill),
    [receive {Pid, Result} -> ?assertEqual({error, {context_died, killed}}, Result) end
     || Pid <- Callers],
    receive {'EXIT', Ctx, killed} -> ok end,
    receive {py_response, _, {error, {context_died, _}}} -> ok end,
    [receive {'EXIT', Pid, normal} -> ok end || Pid <- Callers],
    process_flag(trap_exit, false),
    [still_ours(Pair) || Pair <- lists:sublist(Pairs, 2)],
    [begin ok = py:close_fd(Fd), closed(Ours) end || {Ours, Fd} <- lists:nthtail(2, Pairs)].

owner_dies(_) ->
    Self = self(),
    {Owner, Mon} = spawn_monitor(fun() ->
        {ok, Ctx} = py_reactor_context:start_link(test, auto,
                                                  #{protocol => target('Echo'),
                                                    setup_code => py_fds:code()}),
        Self ! {ctx, Ctx},
        receive done -> ok end
    end),
    Ctx = receive {ctx, C} -> C end,
    {Ours, Fd} = pair(),
    ok = py_reactor_context:handoff(Ctx, Fd),
    said(Ours, <<"x">>),
    exit(Owner, kill),
    receive {'DOWN', Mon, process, _, killed} -> ok end,
    closed(Ours),
    py_ct:eventually(fun() -> py_registry:reactor(Ctx) =:= none end).

context_stops_meanwhile(_) ->
    Pairs = [pair() || _ <- lists:seq(1, 20)],
    {ok, Ctx} = py_reactor_context:start_link(test, auto, #{protocol => target('Echo'),
                                                            setup_code => py_fds:code()}),
    _ = busy(Ctx),
    Self = self(),
    Callers = [spawn_link(fun() -> Self ! {self(), py_reactor_context:handoff(Ctx, Fd)} end)
               || {_, Fd} <- Pairs],
    under_way(Ctx, 20),
    ok = py_reactor_context:stop(Ctx),
    [receive {Pid, Result} -> ?assertMatch({error, {context_died, _}}, Result) end
     || Pid <- Callers],
    receive {py_response, _, _} -> ok end,
    [begin ok = py:close_fd(Fd), closed(Ours) end || {Ours, Fd} <- Pairs].

renewed(_) ->
    echo(fun(Ctx) ->
        {A, FdA} = pair(),
        ok = py_reactor_context:handoff(Ctx, FdA),
        said(A, <<"former">>),
        ok = py_context:renew(Ctx),
        closed(A),
        {B, FdB} = pair(),
        ok = py_reactor_context:handoff(Ctx, FdB),
        said(B, <<"present">>),
        ?assertMatch(#{active_connections := 1, total_connections := 2}, stats(Ctx)),
        ok = gen_tcp:close(B)
    end).

stops(_) ->
    Ours = with(#{protocol => target('Bye')}, fun(Ctx) ->
        {Ours, Fd} = pair(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        said(Ours, <<"x">>),
        Ours
    end),
    ?assertEqual(<<"bye">>, heard(Ours, 3)),
    closed(Ours).

loop_stops(_) ->
    with(#{protocol => target('Bye')}, fun(Ctx) ->
        [begin
             {Ours, Fd} = pair(),
             ok = py_reactor_context:handoff(Ctx, Fd),
             said(Ours, <<"x">>),
             ok = py_context:stop_loop(Ctx),
             ?assertEqual(<<"bye">>, heard(Ours, 3)),
             closed(Ours),
             connections(Ctx, 0)
         end || _ <- [1, 2]]
    end).

%%% asyncio, and listeners

listener() ->
    {ok, Listener} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Listener),
    {Port, copy(Listener)}.

client(Port) ->
    {ok, Ours} = gen_tcp:connect({127, 0, 0, 1}, Port, [binary, {active, false}], ?WAIT),
    Ours.

asyncio_server(_) ->
    with(#{}, fun(Ctx) ->
        {Port, Fd} = listener(),
        ok = py_reactor_context:handoff(Ctx, Fd, #{handler => target(listen)}),
        Clients = [client(Port) || _ <- lists:seq(1, 20)],
        [ok = gen_tcp:send(C, <<"line\nan">>) || C <- Clients],
        [?assertEqual(<<"LINE\n">>, heard(C, 5)) || C <- Clients],
        {ok, none} = py_context:submit_await(Ctx, '__main__', stop, []),
        ?assertEqual({error, econnrefused}, gen_tcp:connect({127, 0, 0, 1}, Port, [])),
        [begin
             ok = gen_tcp:send(C, <<"d\n">>),
             ?assertEqual(<<"AND\n">>, heard(C, 4)),
             ok = gen_tcp:close(C)
         end || C <- Clients]
    end).

asyncio_connections(_) ->
    with(#{handler => target(adopt)}, fun(Ctx) ->
        Pairs = [pair() || _ <- lists:seq(1, 20)],
        [ok = py_reactor_context:handoff(Ctx, Fd) || {_, Fd} <- Pairs],
        [begin
             ok = gen_tcp:send(Ours, <<"a line\n">>),
             ?assertEqual(<<"A LINE\n">>, heard(Ours, 7))
         end || {Ours, _} <- Pairs],
        ?assertMatch(#{active_connections := 20}, stats(Ctx)),
        [ok = gen_tcp:shutdown(Ours, write) || {Ours, _} <- Pairs],
        [closed(Ours) || {Ours, _} <- Pairs],
        connections(Ctx, 0)
    end).

asyncio_refuses(_) ->
    Pair = {_, Fd} = pair(),
    with(#{}, fun(Ctx) ->
        {error, {"ValueError", Why}} =
            py_reactor_context:handoff(Ctx, Fd, #{handler => target(listen)}),
        ?assertMatch({match, _}, re:run(Why, "is no listening socket")),
        ?assertMatch(#{active_connections := 0, failed := 1}, stats(Ctx))
    end),
    still_ours(Pair).

reactor_listens(_) ->
    with(#{handler => target(accept)}, fun(Ctx) ->
        {Port, Fd} = listener(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        ?assertMatch(#{active_connections := 0}, stats(Ctx)),
        Clients = [client(Port) || _ <- lists:seq(1, 20)],
        [said(C, <<"accepted">>) || C <- Clients],
        ?assertMatch(#{active_connections := 20, total_connections := 1}, stats(Ctx)),
        [ok = gen_tcp:close(C) || C <- Clients],
        connections(Ctx, 0)
    end).

%% Those that are too many wait.
reactor_listens_up_to(_) ->
    with(#{handler => target(accept)}, fun(Ctx) ->
        {Port, Fd} = listener(),
        ok = py_reactor_context:handoff(Ctx, Fd, #{max => 2}),
        [A, B, C] = [client(Port) || _ <- [1, 2, 3]],
        ok = gen_tcp:send(C, <<"waits">>),
        [said(S, <<"in">>) || S <- [A, B]],
        connections(Ctx, 2),
        ok = gen_tcp:close(A),
        ?assertEqual(<<"waits">>, heard(C, 5)),
        [ok = gen_tcp:close(S) || S <- [B, C]]
    end).

%% One that makes nothing of it that could be closed has the number, and that is all.
handlers(_) ->
    with(#{handler => target(keeps)}, fun(Ctx) ->
        {Ours, Fd} = pair(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        {ok, 5} = py:eval(Ctx, "os.write(log[0], b'by me')"),
        ?assertEqual(<<"by me">>, heard(Ours, 5)),
        ?assertMatch(#{active_connections := 0}, stats(Ctx)),
        {ok, none} = py:eval(Ctx, "os.close(log[0])"),
        closed(Ours)
    end).

under_one_limit(_) ->
    with(#{handler => target(adopt), max_connections => 2}, fun(Ctx) ->
        [{A, FdA}, {B, FdB}, {C, FdC}] = [pair() || _ <- [1, 2, 3]],
        ok = py_reactor_context:handoff(Ctx, FdA),
        ok = py_reactor_context:handoff(Ctx, FdB, #{protocol => target('Echo')}),
        ?assertEqual({error, full}, py_reactor_context:handoff(Ctx, FdC)),
        ok = gen_tcp:close(A),
        connections(Ctx, 1),
        ok = py_reactor_context:handoff(Ctx, FdC),
        [ok = gen_tcp:close(S) || S <- [B, C]]
    end).

%% What servers in Python accept counts as well, and what is too much is closed.
servers_under_it(_) ->
    with(#{max_connections => 3}, fun(Ctx) ->
        [begin
             {Port, Fd} = listener(),
             ok = py_reactor_context:handoff(Ctx, Fd, #{handler => target(Server)}),
             {A, FdA} = pair(),
             ok = py_reactor_context:handoff(Ctx, FdA, #{protocol => target('Echo')}),
             In = [client(Port), client(Port)],
             [ok = gen_tcp:send(C, <<"IN\n">>) || C <- In],
             [?assertEqual(<<"IN\n">>, heard(C, 3)) || C <- In],
             ?assertMatch(#{active_connections := 3}, stats(Ctx)),
             [closed(client(Port)) || _ <- lists:seq(1, 5)],
             {B, FdB} = pair(),
             ?assertEqual({error, full}, py_reactor_context:handoff(Ctx, FdB)),
             ok = gen_tcp:close(hd(In)),
             connections(Ctx, 2),
             ok = py_reactor_context:handoff(Ctx, FdB, #{protocol => target('Echo')}),
             [begin said(S, <<"here">>), ok = gen_tcp:close(S) end || S <- [A, B]],
             ok = gen_tcp:close(lists:last(In)),
             connections(Ctx, 0)
         end || Server <- [listen, accept]]
    end).

%%% Policies

%% What it is given is all the network that it has.
without_a_network(_) ->
    able_to_lock_up() orelse throw({skip, not_on_this_host}),
    with(#{protocol => target('Echo'), policy => default}, fun(Ctx) ->
        ?assertMatch({error, {"PermissionError", _}},
                     py:eval(Ctx, "__import__('socket').socket()")),
        {Ours, Fd} = pair(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        said(Ours, <<"from inside">>),
        ok = gen_tcp:close(Ours),
        connections(Ctx, 0)
    end).

%% It could not even give a descriptor back.
strictly_locked_up(_) ->
    able_to_lock_up() orelse throw({skip, not_on_this_host}),
    ?assertMatch({error, {_, _}},
                 py_reactor_context:start_link(test, auto, #{policy => strict})).

able_to_lock_up() ->
    case py_context:new(#{policy => default}) of
        {ok, Ctx} -> ok =:= py_context:stop(Ctx);
        {error, _} -> false
    end.
