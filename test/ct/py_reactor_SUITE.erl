%% SPDX-License-Identifier: Apache-2.0
%% @doc Descriptors that go from Erlang to Python: who has them on every path, and what
%% protocols do with them.  What they may do is tested without a VM as well, in
%% test/py/test_reactor.py.
-module(py_reactor_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-import(py_fds, [with/2, echo/1, pair/0, pair/1, said/2, heard/2, closed/1, still_ours/1,
                  stats/1, connections/2, log/1, target/1, gate/1, busy/1]).

suite() -> [{timetrap, {minutes, 4}}].

all() ->
    [dup, outlives_the_application, there_and_back, told, http, two_hundred, full,
     claimed_by_one, bad_descriptors,
     bad_arguments, no_factory, connection_made_raises, times_out,
     times_out_in_python, waits_too_long,
     ignores_the_end, helper_killed, at_rest_after_a_crash, setup_code, bad_setup, slow_reader,
     half_closed, peer_goes_away, async_pending].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}]),
    {ok, 1} = py:eval("1"), % all is there that is counted
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    [{before, py_ct:census()} | Config].

%% Whatever a case did, all descriptors are closed when its context has ended.
end_per_testcase(_, Config) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:settled(proplists:get_value(before, Config)).

%%% Copies

dup(_) ->
    {Ours, Fd} = pair(),
    {ok, Second} = py:dup_fd(Fd),
    ?assert(Second > 2 andalso Second =/= Fd),
    ok = py:close_fd(Fd),
    ?assertEqual({error, ebadf}, py:close_fd(Fd)),
    ?assertEqual({error, ebadf}, py:dup_fd(Fd)),
    ?assertEqual({error, timeout}, gen_tcp:recv(Ours, 0, 0)),
    ok = py:close_fd(Second),
    closed(Ours),
    [?assertEqual({error, {invalid, fd, Bad}}, py:dup_fd(Bad)) || Bad <- [-1, x, 1 bsl 31]],
    [?assertEqual({error, {invalid, fd, Bad}}, py:close_fd(Bad)) || Bad <- [-1, 0, 2, x]].

%% A copy's owner closes it whatever has been stopped, and the driver goes again.
outlives_the_application(_) ->
    {Ours, Fd} = pair(),
    ok = py_ct:stop(),
    unloaded(),
    ?assertEqual(ok, py:close_fd(Fd)),
    closed(Ours),
    ?assertEqual({error, ebadf}, py:close_fd(Fd)),
    unloaded(),
    ?assertEqual({error, not_started}, py:dup_fd(0)),
    ok = py_ct:start([{contexts, 1}]),
    ?assertEqual({ok, 1}, py:eval("1")).

unloaded() ->
    py_ct:eventually(fun() ->
                             {ok, Drivers} = erl_ddll:loaded_drivers(),
                             not lists:member("py_drv", Drivers)
                     end).

%%% Serving

there_and_back(_) ->
    echo(fun(Ctx) ->
        {Ours, Fd} = pair(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        ?assertEqual({error, ebadf}, py:close_fd(Fd)),
        said(Ours, <<"hello">>),
        said(Ours, binary:copy(<<"0123456789abcdef">>, 4096)),
        ?assertMatch(#{active_connections := 1, total_connections := 1, refused := 0,
                       failed := 0, waiting := 0, max_connections := 500}, stats(Ctx)),
        ok = gen_tcp:close(Ours),
        connections(Ctx, 0),
        ?assertEqual([<<"lost">>], log(Ctx))
    end).

told(_) ->
    with(#{protocol => target('Tells')}, fun(Ctx) ->
        {Ours, Fd} = pair(),
        Info = #{addr => {127, 0, 0, 1}, type => tcp, <<"port">> => 1},
        ok = py_reactor_context:handoff(Ctx, Fd, Info),
        Text = <<"[('addr', (127, 0, 0, 1)), ('port', 1), ('type', 'tcp')]">>,
        ?assertEqual(Text, heard(Ours, byte_size(Text))),
        ok = gen_tcp:close(Ours)
    end).

http(_) ->
    with(#{protocol => target('Http')}, fun(Ctx) ->
        {Ours, Fd} = pair(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        [ok = gen_tcp:send(Ours, Part) || Part <- [<<"GET /a/pa">>, <<"th HTTP/1.0\r\n">>,
                                                   <<"Host: here\r\n\r\n">>]],
        ?assertEqual(<<"HTTP/1.0 200 OK\r\n\r\n/a/path">>, heard(Ours, 26)),
        closed(Ours)
    end).

two_hundred(_) ->
    echo(fun(Ctx) ->
        Pairs = [pair() || _ <- lists:seq(1, 200)],
        [ok = py_reactor_context:handoff(Ctx, Fd) || {_, Fd} <- Pairs],
        [ok = gen_tcp:send(Ours, <<"first">>) || {Ours, _} <- Pairs],
        [<<"first">> = heard(Ours, 5) || {Ours, _} <- Pairs],
        [said(Ours, <<"second">>) || {Ours, _} <- lists:reverse(Pairs)],
        ?assertMatch(#{active_connections := 200, total_connections := 200}, stats(Ctx)),
        [ok = gen_tcp:close(Ours) || {Ours, _} <- Pairs],
        connections(Ctx, 0)
    end).

%%% Whose is it?

full(_) ->
    with(#{protocol => target('Echo'), max_connections => 2}, fun(Ctx) ->
        [{A, FdA}, {B, FdB}, {C, FdC}] = [pair() || _ <- [1, 2, 3]],
        [ok = py_reactor_context:handoff(Ctx, Fd) || Fd <- [FdA, FdB]],
        ?assertEqual({error, full}, py_reactor_context:handoff(Ctx, FdC)),
        ?assertEqual({error, full}, py_reactor_context:handoff(Ctx, FdC)),
        ?assertMatch(#{active_connections := 2, refused := 2}, stats(Ctx)),
        ok = gen_tcp:close(A),
        connections(Ctx, 1),
        ok = py_reactor_context:handoff(Ctx, FdC),
        [begin said(S, <<"here">>), ok = gen_tcp:close(S) end || S <- [B, C]]
    end).

%% Of many callers that come to the last place at once, one gets it.
claimed_by_one(_) ->
    with(#{protocol => target('Echo'), max_connections => 5}, fun(Ctx) ->
        Pairs = [pair() || _ <- lists:seq(1, 40)],
        Results = py_ct:parallel(40, fun(I) ->
            py_reactor_context:handoff(Ctx, element(2, lists:nth(I, Pairs)))
        end),
        ?assertEqual(5, length([ok || ok <- Results])),
        ?assertEqual(35, length([full || {error, full} <- Results])),
        [case Result of
             ok -> said(Ours, <<"in">>);
             _ -> ok = py:close_fd(Fd), closed(Ours)
         end || {{Ours, Fd}, Result} <- lists:zip(Pairs, Results)],
        [ok = gen_tcp:close(Ours) || {{Ours, _}, ok} <- lists:zip(Pairs, Results)]
    end).

bad_descriptors(_) ->
    echo(fun(Ctx) ->
        {Ours, Fd} = pair(),
        ok = py:close_fd(Fd),
        ?assertEqual({error, ebadf}, py_reactor_context:handoff(Ctx, Fd)),
        closed(Ours),
        [?assertEqual({error, {invalid, fd, Bad}}, py_reactor_context:handoff(Ctx, Bad))
         || Bad <- [-1, 0, 1, 2, x, 1 bsl 31]],
        ?assertMatch(#{failed := 1, active_connections := 0}, stats(Ctx))
    end).

bad_arguments(_) ->
    Start = fun(Options) -> py_reactor_context:start_link(bad, auto, Options) end,
    [?assertEqual({error, {invalid, Key, Value}}, Start(#{Key => Value}))
     || {Key, Value} <- [{max_connections, 0}, {protocol, echo}, {handler, {1, 2}},
                         {handoff_timeout, -1}, {unknown, 1}]],
    ?assertMatch({error, {invalid, _, _}},
                 Start(#{protocol => target('Echo'), handler => target(listen)})),
    ?assertEqual({error, {invalid, options, []}}, Start([])),
    ?assertEqual({error, {invalid, mode, wild}}, py_reactor_context:start_link(bad, wild)),
    Plain = py:context(1),
    ?assertEqual({error, {invalid, context, Plain}}, py_reactor_context:handoff(Plain, 100)),
    ?assertEqual({error, {invalid, context, Plain}}, py_reactor_context:stats(Plain)),
    ?assertEqual({error, {invalid, context, x}}, py_reactor_context:handoff(x, 100)),
    ?assertEqual({error, {invalid, info, x}}, py_reactor_context:handoff(Plain, 100, x)),
    ?assertEqual({error, {invalid, protocol, x}},
                 py_reactor_context:handoff(Plain, 100, #{protocol => x})),
    Gone = spawn(fun() -> ok end),
    ?assertEqual({error, {context_died, noproc}}, py_reactor_context:handoff(Gone, 100)).

no_factory(_) ->
    with(#{}, fun(Ctx) ->
        {Ours, Fd} = pair(),
        ?assertEqual({error, {"RuntimeError",
                              "no protocol factory is set (set_protocol_factory)"}},
                     py_reactor_context:handoff(Ctx, Fd)),
        ?assertMatch({error, {"AttributeError", _}},
                     py_reactor_context:handoff(Ctx, Fd, #{protocol => target('Missing')})),
        ok = py:exec(Ctx, "reactor.set_protocol_factory(Echo)"),
        ok = py_reactor_context:handoff(Ctx, Fd),
        said(Ours, <<"now">>),
        ok = gen_tcp:close(Ours)
    end).

connection_made_raises(_) ->
    Pair = {_, Fd} = pair(),
    with(#{protocol => target('Fails')}, fun(Ctx) ->
        Fail = fun() ->
                       ?assertEqual({error, {"LookupError", "not today"}},
                                    py_reactor_context:handoff(Ctx, Fd))
               end,
        Fail(), % the loop has been started
        Before = py:eval(Ctx, "fds()"),
        [Fail() || _ <- lists:seq(1, 10)],
        ?assertMatch(#{active_connections := 0, failed := 11}, stats(Ctx)),
        ?assertEqual(Before, py:eval(Ctx, "fds()"))
    end),
    still_ours(Pair).

%% The main thread is busy: the descriptor waits in the helper's hatch.
times_out(_) ->
    Pair = {_, Fd} = pair(),
    with(#{protocol => target('Echo'), handoff_timeout => 50}, fun(Ctx) ->
        ok = py_context:start_loop(Ctx),
        Open = py:eval(Ctx, "fds()"),
        Done = busy(Ctx),
        ?assertEqual({error, timeout}, py_reactor_context:handoff(Ctx, Fd)),
        Done(),
        py_ct:eventually(fun() -> Open =:= py:eval(Ctx, "fds()") end),
        ?assertMatch(#{active_connections := 0}, stats(Ctx))
    end),
    still_ours(Pair).

%% The loop is busy with this very descriptor, and has it when it wakes up.
times_out_in_python(_) ->
    Pair = {Ours, Fd} = pair(),
    with(#{protocol => target('Blocks'), handoff_timeout => 500}, fun(Ctx) ->
        {Gate, Open} = gate(Ctx),
        ok = given_up(Ctx, Fd, #{gate => Gate}),
        ok = Open(),
        py_ct:eventually(fun() -> maps:get(waiting, stats(Ctx)) =:= 0 end),
        connections(Ctx, 0),
        ?assertEqual({error, timeout}, gen_tcp:recv(Ours, 0, 0))
    end),
    still_ours(Pair).

%% A handler that does not return is cancelled.
waits_too_long(_) -> given_up(waits).

%% Nor does it help a handler to ignore that.
ignores_the_end(_) -> given_up(stubborn).

given_up(Handler) ->
    Pair = {_, Fd} = pair(),
    with(#{handler => target(Handler), handoff_timeout => 500}, fun(Ctx) ->
        ok = py:exec(Ctx, "import socket\n"
                     "def is_tcp(n):\n"
                     "    with socket.socket(fileno=os.dup(n)) as s: return s.family == 2\n"),
        ok = given_up(Ctx, Fd, #{}),
        py_ct:eventually(fun() -> maps:get(waiting, stats(Ctx)) =:= 0 end),
        connections(Ctx, 0),
        py_ct:eventually(fun() ->
            {ok, 0} =:= py:eval(Ctx, "len([f for f in os.listdir('/proc/self/fd') if "
                                "os.path.exists(p := '/proc/self/fd/' + f) and "
                                "'socket' in os.readlink(p) and is_tcp(int(f))])")
        end)
    end),
    still_ours(Pair).

given_up(Ctx, Fd, Info) ->
    ?assertEqual({error, timeout}, py_reactor_context:handoff(Ctx, Fd, Info)),
    case log(Ctx) of
        [] -> given_up(Ctx, Fd, Info); % it had not begun
        _ -> ok
    end.

%%% Crashes

helper_killed(_) ->
    echo(fun(Ctx) ->
        Before = length(element(2, file:list_dir("/proc/self/fd"))),
        Pairs = [pair() || _ <- lists:seq(1, 20)],
        [ok = py_reactor_context:handoff(Ctx, Fd) || {_, Fd} <- Pairs],
        ?assertMatch({error, {crashed, _}}, py:call(Ctx, os, kill, [py_ct:helper_pid(Ctx), 9])),
        [closed(Ours) || {Ours, _} <- Pairs],
        {Again, Fd} = pair(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        said(Again, <<"again">>),
        ?assertMatch(#{active_connections := 1, total_connections := 21, restarts := 1},
                     stats(Ctx)),
        ok = gen_tcp:close(Again),
        py_ct:eventually(fun() ->
                                 length(element(2, file:list_dir("/proc/self/fd"))) =< Before
                         end)
    end).

%% Whoever hands over while helpers die keeps the descriptor, or it is gone.
at_rest_after_a_crash(_) ->
    with(#{protocol => target('Echo'), restart => #{min_backoff => 1, max_backoff => 10}},
         fun(Ctx) ->
        Killer = spawn_link(fun() -> killer(Ctx, 5) end),
        Results = py_ct:parallel(8, fun(_) -> [one_of_many(Ctx) || _ <- lists:seq(1, 25)] end),
        Mon = erlang:monitor(process, Killer),
        receive {'DOWN', Mon, process, _, _} -> ok end,
        Outcomes = lists:append(Results),
        ?assertEqual(200, length(Outcomes)),
        ?assertEqual([], [O || O <- Outcomes, O =/= taken, O =/= kept])
    end).

killer(_, 0) ->
    ok;
killer(Ctx, N) ->
    timer:sleep(100),
    _ = py:call(Ctx, os, kill, [{}, 9]), % waits until there is a helper
    case py_context:info(Ctx) of
        {ok, #{os_pid := Pid}} when is_integer(Pid) ->
            _ = os:cmd("kill -9 " ++ integer_to_list(Pid)),
            killer(Ctx, N - 1);
        _ ->
            killer(Ctx, N)
    end.

one_of_many(Ctx) ->
    {Ours, Fd} = pair(),
    case py_reactor_context:handoff(Ctx, Fd) of
        ok ->
            _ = gen_tcp:send(Ours, <<"x">>),
            Outcome = case gen_tcp:recv(Ours, 1, 60000) of
                          {ok, <<"x">>} -> taken;
                          {error, closed} -> taken;
                          {error, econnreset} -> taken;
                          Other -> Other
                      end,
            ok = gen_tcp:close(Ours),
            Outcome;
        {error, _} ->
            ok = py:close_fd(Fd),
            Outcome = case gen_tcp:recv(Ours, 0, 60000) of
                          {error, closed} -> kept;
                          Other -> Other
                      end,
            ok = gen_tcp:close(Ours),
            Outcome
    end.

setup_code(_) ->
    Code = [py_fds:code(), "reactor.set_protocol_factory(Echo)\nlog.append(os.getpid())\n"],
    with(#{setup_code => iolist_to_binary(Code)}, fun(Ctx) ->
        [begin
             {Ours, Fd} = pair(),
             ok = py_reactor_context:handoff(Ctx, Fd),
             said(Ours, <<"set up">>),
             ?assertEqual([py_ct:helper_pid(Ctx)], log(Ctx)),
             {error, _} = py:call(Ctx, os, abort, []),
             closed(Ours)
         end || _ <- [1, 2, 3]]
    end).

bad_setup(_) ->
    process_flag(trap_exit, true),
    ?assertMatch({error, {boot_failed, {"ZeroDivisionError", _}}},
                 py_reactor_context:start_link(bad, auto, #{setup_code => "1/0"})),
    ?assertMatch({error, {boot_failed, {"SyntaxError", _}}},
                 py_reactor_context:start_link(bad, auto, #{setup_code => "1 +"})),
    ?assertMatch({error, {invalid, _, _}},
                 py_reactor_context:start_link(bad, auto, #{setup_code => "1",
                                                            preload_code => "2"})),
    process_flag(trap_exit, false),
    ?assertEqual([], py_ct:mailbox()).

%%% Streams of bytes

%% While the peer does not read, the reactor does not either: what it holds is
%% limited, and nothing is lost.
slow_reader(_) ->
    echo(fun(Ctx) ->
        {Ours, Fd} = pair([{sndbuf, 65536}, {recbuf, 65536}]),
        ok = py_reactor_context:handoff(Ctx, Fd),
        ok = py:exec(Ctx, "def held(): return sum(len(e.protocol.write_buffer) for e in "
                     "__import__('erlang._connection')._connection.entries.values())"),
        Pieces = [rand:bytes(32768) || _ <- lists:seq(1, 256)],
        {Sender, Mon} = spawn_monitor(fun() ->
            exit(lists:usort([gen_tcp:send(Ours, P) || P <- Pieces]))
        end),
        py_ct:eventually(fun() -> stuck(Sender) andalso {ok, 0} =/= py:eval(Ctx, "held()") end),
        {ok, Held} = py:eval(Ctx, "held()"),
        ?assert(Held > 0 andalso Held =< 65536, Held),
        Data = iolist_to_binary(Pieces),
        ?assert(heard(Ours, byte_size(Data)) =:= Data),
        receive {'DOWN', Mon, process, _, [ok]} -> ok end,
        ?assertEqual({ok, 0}, py:eval(Ctx, "held()")),
        ok = gen_tcp:close(Ours)
    end).

%% It gets no further.
stuck(Sender) ->
    {reductions, Before} = process_info(Sender, reductions),
    timer:sleep(200),
    {reductions, Before} =:= process_info(Sender, reductions).

half_closed(_) ->
    with(#{protocol => target('Counts')}, fun(Ctx) ->
        {Ours, Fd} = pair(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        ok = gen_tcp:send(Ours, binary:copy(<<"x">>, 300000)),
        ok = gen_tcp:shutdown(Ours, write),
        ?assertEqual(<<"300000">>, heard(Ours, 6)),
        closed(Ours)
    end).

%% No signal, nor anything else, reaches the others.
peer_goes_away(_) ->
    with(#{protocol => target('Much')}, fun(Ctx) ->
        {Stays, StaysFd} = pair(),
        ok = py_reactor_context:handoff(Ctx, StaysFd, #{protocol => target('Echo')}),
        [begin
             {Ours, Fd} = pair(),
             ok = py_reactor_context:handoff(Ctx, Fd),
             ok = inet:setopts(Ours, [{linger, {true, Linger}}]),
             ok = gen_tcp:close(Ours)
         end || Linger <- [0, 1], _ <- [1, 2, 3]],
        connections(Ctx, 1),
        said(Stays, <<"as ever">>),
        ?assertMatch(#{restarts := 0, total_connections := 7}, stats(Ctx)),
        ok = gen_tcp:close(Stays)
    end).

async_pending(_) ->
    with(#{protocol => target('Later')}, fun(Ctx) ->
        {Ours, Fd} = pair(),
        ok = py_reactor_context:handoff(Ctx, Fd),
        [begin
             ok = gen_tcp:send(Ours, <<"later">>),
             ?assertEqual(<<"LATER">>, heard(Ours, 5))
         end || _ <- [1, 2, 3]],
        ok = gen_tcp:close(Ours),
        connections(Ctx, 0)
    end).
