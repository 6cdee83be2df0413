%% SPDX-License-Identifier: Apache-2.0
%% @doc Nodes, connections and processes that are lost while a request is made from
%% another node: an error to the caller, and nothing else.
-module(py_remote_end_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(LOST, {error, {context_died, noconnection}}).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [killed_in_a_call, stopped_in_a_call, killed_with_many_callers, killed_in_a_function,
     killed_in_nested_calls, killed_with_casts, cut_in_a_call, cut_in_a_function,
     nobody_there, not_started, without_the_library, another_version,
     callers_node_killed, callers_node_killed_in_a_function, context_dies, helper_dies].

init_per_suite(Config) ->
    Before = py_peers:begin_node(),
    ok = py_ct:start([{contexts, 1}]),
    %% All is there that is counted: a first connection starts some of OTP's.
    #{node := Node} = Peer = py_peers:start_bare(),
    pong = net_adm:ping(Node),
    ok = py_peers:stop(Peer),
    [{before, Before} | Config].

end_per_suite(Config) ->
    ok = py_ct:stop(),
    py_peers:end_node(proplists:get_value(before, Config)).

init_per_testcase(_, Config) ->
    ok = py:exec("import erlang, time"),
    [{processes, processes()} | Config].

end_per_testcase(_, Config) ->
    ?assertEqual([], py_ct:mailbox()),
    ?assertEqual({monitors, []}, process_info(self(), monitors)),
    [py:unregister_function(Name) || Name <- py_callback:registered()],
    Before = proplists:get_value(processes, Config),
    py_ct:eventually(fun() -> py_remote_SUITE:runners() =:= [] end),
    py_ct:eventually(fun() ->
                             [] =:= [process_info(P) || P <- processes() -- Before]
                     end).

%% With a peer and its context.
with_peer(Fun) ->
    Peer = py_peers:start(),
    try
        Context = py_remote_SUITE:context(Peer),
        ok = py:exec(Context, "import erlang, time"),
        Fun(Peer, Context)
    after
        py_peers:stop(Peer)
    end.

%% A call that is known to run in Python there.
stuck(Context, Tag) ->
    {Code, Locals} = py_remote_SUITE:stuck(Tag),
    Running = py_remote_SUITE:aside(fun() -> py:eval(Context, Code, Locals) end),
    py_remote_SUITE:told(Tag),
    Running.

result(Running) -> py_remote_SUITE:result(Running).

%%% The context's node

killed_in_a_call(_) ->
    with_peer(fun(Peer, C) ->
                      Running = stuck(C, running),
                      ok = py_peers:kill(Peer),
                      ?assertEqual(?LOST, result(Running)),
                      ?assertEqual(?LOST, py:call(C, math, sqrt, [16]))
              end).

stopped_in_a_call(_) ->
    with_peer(fun(Peer, C) ->
                      Running = stuck(C, running),
                      ok = py_peers:stop(Peer),
                      ?assertEqual(?LOST, result(Running))
              end).

%% All of them hear of it, those as well that wait for their turn, or for a time.
killed_with_many_callers(_) ->
    with_peer(fun(Peer, C) ->
                      First = stuck(C, running),
                      Self = self(),
                      Others = [py_remote_SUITE:aside(fun() ->
                                                              Self ! {py_ct, asking},
                                                              py:call(C, math, sqrt, [16], 60000)
                                                      end) || _ <- lists:seq(1, 30)],
                      [py_remote_SUITE:told(asking) || _ <- Others],
                      ok = py_peers:kill(Peer),
                      [?assertEqual(?LOST, result(Running)) || Running <- [First | Others]]
              end).

killed_in_a_function(_) ->
    with_peer(fun(Peer, C) ->
                      ok = py:register_function(kill, fun([]) -> py_peers:kill(Peer) end),
                      ?assertEqual(?LOST, py:eval(C, "erlang.kill()")),
                      ?assertEqual(undefined, py_callback:context()),
                      ?assertEqual([], py_remote:serving())
              end).

killed_in_nested_calls(_) ->
    with_peer(fun(Peer, C) ->
                      Down = fun([0]) -> py_peers:kill(Peer), py:eval(C, "1");
                                ([N]) -> py:eval(C, "erlang.down(n)", #{n => N - 1})
                             end,
                      ok = py:register_function(down, Down),
                      ?assertEqual(?LOST, py:eval(C, "erlang.down(5)")),
                      ?assertEqual({ok, 4}, py:eval("2 + 2"))
              end).

killed_with_casts(_) ->
    with_peer(fun(Peer, C) ->
                      Running = stuck(C, running),
                      Refs = [py:cast(C, math, sqrt, [16], infinity) || _ <- lists:seq(1, 20)],
                      Task = py:async_call(C, asyncio, sleep, [3600], infinity),
                      ok = py_peers:kill(Peer),
                      [?assertEqual(?LOST, py:await(R, infinity)) || R <- [Task | Refs]],
                      ?assertEqual(?LOST, result(Running)),
                      ?assertEqual(0, ets:info(py_workers, size))
              end).

%% The node lives: what it did for us is ended there, and it can be used again.
cut_in_a_call(_) ->
    with_peer(fun(Peer, C) ->
                      Running = stuck(C, running),
                      ok = py_peers:cut(Peer),
                      ?assertEqual(?LOST, result(Running)),
                      ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16])),
                      py_remote_SUITE:nothing_runs(Peer)
              end).

cut_in_a_function(_) ->
    with_peer(fun(Peer, C) ->
                      Self = self(),
                      ok = py:register_function(cut, fun([]) ->
                                                             ok = py_peers:cut(Peer),
                                                             Self ! {nested, py:eval(C, "1")}
                                                     end),
                      ?assertEqual(?LOST, py:eval(C, "erlang.cut()")),
                      ?assertEqual({nested, ?LOST}, receive M -> M after 0 -> none end),
                      ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16])),
                      py_remote_SUITE:nothing_runs(Peer)
              end).

%%% Nodes with which it can not work

%% A node of which only a pid is left.
nobody_there(_) ->
    Peer = py_peers:start_bare(),
    Pid = py_peers:call(Peer, erlang, whereis, [init]),
    ok = py_peers:stop(Peer),
    ?assertEqual(?LOST, py:call(Pid, math, sqrt, [16])),
    ?assertEqual(?LOST, py:call(Pid, math, sqrt, [16], 10000)),
    ?assertEqual(?LOST, py:await(py:cast(Pid, math, sqrt, [16]))).

not_started(_) ->
    Peer = py_peers:start_bare(),
    Pid = py_peers:call(Peer, erlang, whereis, [init]),
    ?assertEqual({error, {context_died, noproc}}, py:call(Pid, math, sqrt, [16])),
    ok = py_peers:stop(Peer).

without_the_library(_) ->
    #{node := Node} = Peer = py_peers:start_bare([]),
    Pid = py_peers:call(Peer, erlang, whereis, [init]),
    ?assertEqual({error, {context_died, {no_terrarium, Node}}}, py:call(Pid, math, sqrt, [16])),
    ?assertEqual({error, {context_died, {no_terrarium, Node}}},
                 py:await(py:cast(Pid, math, sqrt, [16]))),
    ok = py_peers:stop(Peer).

%% A runner that does not understand says so; what its callers make of that.
another_version(_) ->
    {_, Mon} = spawn_monitor(py_remote_runner, start, [0, self(), make_ref(), none]),
    Said = receive {'DOWN', Mon, process, _, Reason} -> Reason end,
    #{node := Node} = Peer = py_peers:start_bare([]),
    Forms = [{attribute, 1, module, py_remote_runner}, {attribute, 1, export, [{start, 4}]},
             {function, 1, start, 4,
              [{clause, 1, [{var, 1, '_'} || _ <- [1, 2, 3, 4]], [],
                [{call, 1, {atom, 1, exit}, [erl_parse:abstract(Said)]}]}]}],
    {ok, Module, Code} = compile:forms(Forms),
    {module, Module} = py_peers:call(Peer, code, load_binary, [Module, "other", Code]),
    Pid = py_peers:call(Peer, erlang, whereis, [init]),
    ?assertEqual({error, {context_died, {other_version, Node}}}, py:call(Pid, math, sqrt, [16])),
    ok = py_peers:stop(Peer).

%%% The caller's node

%% Runs on a peer: in a process of its own, ask a context of the other node.
ask(Context, Code, Locals) ->
    _ = spawn(fun() -> py:eval(Context, Code, Locals) end),
    ok.

callers_node_killed(_) ->
    with_peer(fun(Peer, _) ->
                      Near = py:context(1),
                      {Code, Locals} = py_remote_SUITE:stuck(running),
                      ok = py_peers:call(Peer, ?MODULE, ask, [Near, Code, Locals]),
                      py_remote_SUITE:told(running),
                      ok = py_peers:kill(Peer),
                      ?assertEqual({ok, 4.0}, py:call(Near, math, sqrt, [16]))
              end).

callers_node_killed_in_a_function(_) ->
    with_peer(fun(Peer, _) ->
                      Near = py:context(1),
                      ok = py_peers:call(Peer, py, register_function, [wait, ?MODULE, wait]),
                      ok = py_peers:call(Peer, ?MODULE, ask, [Near, "erlang.wait(pid)",
                                                              #{pid => self()}]),
                      py_remote_SUITE:told(waits),
                      ok = py_peers:kill(Peer),
                      ?assertEqual({ok, 4.0}, py:call(Near, math, sqrt, [16]))
              end).

wait([Pid]) ->
    Pid ! {py_ct, waits},
    receive after infinity -> ok end.

%%% What dies there dies as it does here

context_dies(_) ->
    with_peer(fun(Peer, _) ->
                      C = py_peers:call(Peer, py_remote_SUITE, context_of_its_own, [#{}]),
                      ok = py:exec(C, "import erlang, time"),
                      Running = stuck(C, running),
                      true = exit(C, kill),
                      {error, Reason} = result(Running),
                      ?assertMatch({context_died, _}, Reason),
                      ?assertEqual({error, {context_died, noproc}}, py:call(C, math, sqrt, [16]))
              end).

helper_dies(_) ->
    with_peer(fun(_, C) ->
                      Kill = "__import__('os').kill(__import__('os').getpid(), 9)",
                      ?assertMatch({error, {crashed, #{signal := sigkill}}}, py:eval(C, Kill)),
                      #{type := <<"crashed">>} = py:last_error(),
                      ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16]))
              end).
