%% SPDX-License-Identifier: Apache-2.0
%% @doc Pools of other nodes: who is asked first, how load is shared, what becomes of
%% calls when a pool is full or stopped, or its node lost.
-module(py_cluster_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [local_first, a_client_without_contexts, every_form, functions_and_errors, namespaces,
     a_stream_ends_early, registrations, load_is_shared, choice,
     a_full_pool_spills, a_bound_process_does_not_spill, all_are_full, a_node_is_killed,
     a_pool_stops_and_starts, not_distributed].

init_per_suite(Config) ->
    Before = py_peers:begin_node(),
    [{node, Before} | Config].

end_per_suite(Config) ->
    py_peers:end_node(proplists:get_value(node, Config)).

init_per_testcase(_, Config) ->
    Config.

end_per_testcase(_, _) ->
    ok = py_ct:stop(),
    ?assertEqual([], py_ct:mailbox()).

%% This node with these settings, and others, each with its own; all see each other's
%% pools.
nodes(Mine, Theirs, Run) ->
    ok = py_ct:start(Mine),
    Peers = [py_peers:start(Env) || Env <- Theirs],
    try
        [ok = joined(Peer, Env) || {Peer, Env} <- lists:zip(Peers, Theirs)],
        Run([Node || #{node := Node} <- Peers], Peers)
    after
        lists:foreach(fun py_peers:stop/1, Peers)
    end.

joined(#{node := Node}, Env) ->
    true = net_kernel:connect_node(Node),
    case proplists:get_value(start_contexts, Env, true) andalso
         proplists:get_value(distribute, Env, true) of
        true -> offers(Node, default, 1);
        false -> ok
    end.

%% This node knows so many pools of that name of that one.
offers(Node, Pool, N) ->
    py_ct:eventually(fun() ->
                             Members = pg:get_members(terrarium, {pool, Pool}),
                             N =:= length([P || P <- Members, node(P) =:= Node])
                     end).

client() ->
    [{start_contexts, false}].

%% The node that served it.
served(Pool) ->
    {ok, Pid} = py:call(Pool, os, getpid, []),
    Pid.

helpers(Node, Pool) ->
    [erpc:call(Node, py_ct, helper_pid, [C])
     || C <- erpc:call(Node, py_context_router, contexts, [Pool])].

local_first(_) ->
    nodes([{contexts, 1}], [[{contexts, 1}]],
          fun([Node], _) ->
                  Here = helpers(node(), default),
                  There = helpers(Node, default),
                  [Own] = lists:usort([served(default) || _ <- lists:seq(1, 50)]),
                  ?assertEqual([Own], Here),
                  ok = py_context_router:stop(),
                  [Other] = lists:usort([served(default) || _ <- lists:seq(1, 50)]),
                  ?assertEqual([Other], There),
                  {ok, _} = py_context_router:start(),
                  ?assertEqual(helpers(node(), default), [served(default)])
          end).

a_client_without_contexts(_) ->
    nodes(client(), [[{contexts, 1}]],
          fun([Node], _) ->
                  {ok, Context} = py_context_router:get_context(),
                  ?assertEqual(Node, node(Context)),
                  ?assertEqual([], py_context_router:contexts()),
                  ?assertEqual({ok, 4.0}, py:call(math, sqrt, [16])),
                  ?assertEqual({error, {"ValueError", "math domain error"}},
                               py:call(math, sqrt, [-1])),
                  ?assertEqual({error, {no_pool, other}}, py:call(other, math, sqrt, [16])),
                  ?assertEqual({error, {invalid, args, 16}}, py:call(math, sqrt, 16)),
                  {ok, _} = erpc:call(Node, py_context_router, start_pool, [other, 1]),
                  ok = offers(Node, other, 1),
                  ?assertEqual({ok, 4.0}, py:call(other, math, sqrt, [16])),
                  ok = erpc:call(Node, py_context_router, stop_pool, [other]),
                  ok = offers(Node, other, 0),
                  ?assertEqual({error, {no_pool, other}}, py:call(other, math, sqrt, [16]))
          end).

every_form(_) ->
    nodes(client(), [[{contexts, 2}]],
          fun(_, _) ->
                  ok = py:exec("x = 1"),
                  ?assertEqual({ok, 7}, py:eval("3 + 4")),
                  ?assertEqual({ok, 7}, py:eval("a + 4", #{a => 3})),
                  ?assertEqual({ok, 7}, py:eval(default, "3 + 4")),
                  ?assertEqual({ok, [3, 1]}, py:call(builtins, sorted, [[1, 3]],
                                                     #{reverse => true})),
                  Ref = py:cast(math, sqrt, [16]),
                  ?assertEqual({ok, 4.0}, py:await(Ref)),
                  ?assertEqual({ok, 4.0}, py:await(py:spawn_call(default, math, sqrt, [16]))),
                  Calls = [{math, sqrt, [N * N]} || N <- lists:seq(1, 5)],
                  ?assertEqual({ok, [1.0, 2.0, 3.0, 4.0, 5.0]}, py:parallel(Calls)),
                  Sleep = fun(N) -> {asyncio, sleep, [0.01, N]} end,
                  ?assertEqual({ok, 9}, py:async_await(py:async_call(asyncio, sleep, [0, 9]))),
                  ?assertEqual({ok, [1, 2, 3]}, py:async_gather([Sleep(N) || N <- [1, 2, 3]])),
                  ?assertEqual({ok, 5}, py_event_loop:run(asyncio, sleep, [0, 5])),
                  ?assertEqual({ok, [0, 1, 2]}, py:stream(builtins, range, [3])),
                  ?assertEqual({ok, [0, 1, 4]}, py:stream_eval("(i * i for i in range(3))")),
                  {ok, Stream} = py:stream_start(builtins, range, [3]),
                  ?assertEqual([0, 1, 2], items(Stream)),
                  ?assertMatch({ok, {200, _, _}},
                               py_wsgi:run('wsgiref.simple_server', demo_app,
                                           #{'REQUEST_METHOD' => <<"GET">>,
                                             'PATH_INFO' => <<"/x">>})),
                  ?assertMatch({ok, <<"3.", _/binary>>}, py:version())
          end).

%% Functions run in the caller; what they call of the pool belongs to the call.
functions_and_errors(_) ->
    nodes(client(), [limited(1)],
          fun([Node], _) ->
                  ok = offers(Node, few, 1),
                  ok = py:register_function(twice, fun twice/1),
                  Twice = "__import__('erlang').call('twice', -3)",
                  ?assertEqual({ok, {self(), 6}}, py:eval(few, Twice, #{})),
                  ?assertEqual({ok, {self(), 6}}, py:eval(few, Twice)),
                  ok = py:unregister_function(twice),
                  {error, {"ZeroDivisionError", _}} = py:eval(few, "1 / 0"),
                  #{type := <<"ZeroDivisionError">>, traceback := _} = py:last_error(),
                  ?assertMatch({error, #{type := <<"ZeroDivisionError">>}},
                               py:call(few, operator, truediv, [1, 0], #{errors => map})),
                  ?assertEqual({error, timeout},
                               py:call(few, time, sleep, [3600], #{timeout => 50})),
                  ?assertMatch({ok, #{stdout := <<"x\n">>}},
                               py:exec(few, "print('x')", #{output => capture})),
                  ?assertEqual(0, held([Node]))
          end).

twice([X]) ->
    {ok, Y} = py:call(few, builtins, abs, [X]),
    {self(), 2 * Y}.

%% As on one node, wherever the call ends up.
namespaces(_) ->
    Own = fun(Max) -> #{size => 1, namespace => process, max_calls => Max} end,
    nodes([{contexts, 1}, {pools, #{few => Own(1)}}], [[{contexts, 1}, {pools, #{few => Own(4)}}]],
          fun([Node], _) ->
                  ok = offers(Node, few, 1),
                  Slow = hold(few),
                  ok = py:exec(few, "x = 1\ndef get(): return x"),
                  ?assertEqual({ok, 1}, py:eval(few, "x")),
                  ?assertEqual({ok, 1}, py:await(py:cast(few, '__main__', get, []))),
                  ?assertEqual({ok, [1]}, py:stream_eval(few, "[x]")),
                  [{error, {"NameError", _}}] = py_ct:parallel(1, fun(_) -> py:eval(few, "x") end),
                  ok = end_held(few, Slow),
                  ?assertMatch({error, {"NameError", _}}, py:eval(few, "x"))
          end).

%% Cancelled, or its receiver killed: its generator is closed.
a_stream_ends_early(_) ->
    nodes(client(), [[{contexts, 1}]],
          fun([Node], _) ->
                  ok = py:exec("closed = 0\n"
                               "def endless():\n"
                               "    global closed\n"
                               "    try:\n"
                               "        while True: yield 1\n"
                               "    finally: closed += 1\n"),
                  {ok, Stream} = py:stream_start('__main__', endless, []),
                  receive {py_stream, Stream, {data, 1}} -> ok end,
                  ok = py:stream_cancel(Stream),
                  py_ct:eventually(fun() -> {ok, 1} =:= py:eval("closed") end),
                  Self = self(),
                  {Pid, Mon} = spawn_monitor(fun() -> receive_endless(Self) end),
                  receive {Pid, receiving} -> ok end,
                  exit(Pid, kill),
                  receive {'DOWN', Mon, process, _, killed} -> ok end,
                  py_ct:eventually(fun() -> {ok, 2} =:= py:eval("closed") end),
                  py_ct:eventually(fun() -> erpc:call(Node, py_lent, live, []) =:= 0 end)
          end).

receive_endless(Parent) ->
    {ok, Stream} = py:stream_start('__main__', endless, []),
    receive {py_stream, Stream, {data, 1}} -> Parent ! {self(), receiving} end,
    receive stop -> ok end.

items(Stream) ->
    receive
        {py_stream, Stream, {data, Item}} -> [Item | items(Stream)];
        {py_stream, Stream, done} -> [];
        {py_stream, Stream, Other} -> [Other]
    end.

%% They count where the call is made.
registrations(_) ->
    nodes([{contexts, 1}], [client()],
          fun([Node], _) ->
                  {ok, _} = erpc:call(Node, py_context_router, start_pool, [far, 1]),
                  ok = offers(Node, far, 1),
                  ok = erpc:call(Node, py, register_pool, [nowhere, os]),
                  ok = py:register_pool(far, os),
                  {ok, Pid} = py:call(os, getpid, []),
                  ?assertEqual([Pid], helpers(Node, far)),
                  ok = py:unregister_pool(os),
                  {ok, Own} = py:call(os, getpid, []),
                  ?assertEqual([Own], helpers(node(), default))
          end).

load_is_shared(_) ->
    nodes(client(), [[{contexts, 1}], [{contexts, 1}]],
          fun([A, B], _) ->
                  [PidA] = helpers(A, default),
                  [PidB] = helpers(B, default),
                  Both = lists:usort([PidA, PidB]),
                  ?assertEqual(Both, lists:usort([served(default) || _ <- lists:seq(1, 200)])),
                  %% One call that does not end in one of them: all others go to the other.
                  Slow = py:cast(default, time, sleep, [3600]),
                  py_ct:eventually(fun() -> waiting(A) + waiting(B) =:= 1 end),
                  Free = case waiting(A) of
                             1 -> PidB;
                             0 -> PidA
                         end,
                  ?assertEqual([Free], lists:usort([served(default) || _ <- lists:seq(1, 50)])),
                  ?assertEqual({error, timeout}, py:await(Slow, 0)),
                  py_ct:eventually(fun() -> waiting(A) + waiting(B) =:= 0 end),
                  ?assertEqual(Both, lists:usort([served(default) || _ <- lists:seq(1, 200)]))
          end).

%% Of many nodes the better one of two; what is known of their load is not for ever.
choice(_) ->
    ok = py_ct:start(client()),
    Nodes = [list_to_atom("n" ++ integer_to_list(N) ++ "@nowhere") || N <- lists:seq(1, 6)],
    Chosen = fun(Some) -> lists:usort([py_cluster:choose(Some, p) || _ <- lists:seq(1, 1000)]) end,
    ?assertEqual(none, py_cluster:choose([], p)),
    ?assertEqual(Nodes, Chosen(Nodes)),
    [Busy, Down, Idle | _] = Nodes,
    ok = known(Busy, 9, 1, 0),
    ok = known(Down, 0, 0, 0),
    ?assertEqual(Nodes -- [Busy, Down], Chosen(Nodes -- [Down])),
    ?assertEqual(Nodes -- [Busy, Down], Chosen(Nodes -- [Busy])),
    %% Four or fewer are all looked at: the least for each context.
    ok = known(Idle, 10, 10, 0),
    ?assertEqual([Idle], Chosen([Busy, Down, Idle])),
    ?assertEqual([Busy], Chosen([Busy, Down])),
    [ok = known(Node, 9, 0, 60000) || Node <- [Busy, Down]],
    ?assertEqual([Busy, Down], Chosen([Busy, Down, Idle])),
    %% Nothing is left of them.
    ok = py_ct:stop(),
    ?assertEqual(undefined, ets:whereis(py_cluster)).

%% That a node's pool `p' had so many requests of others and contexts, then.
known(Node, Others, Ready, MsAgo) ->
    At = erlang:monotonic_time(millisecond) - MsAgo,
    true = ets:insert(py_cluster, {row, {p, Node}, py_slot_nif:new(9), Others, Ready, At}),
    ok.

%% Requests that this node's default pool has not answered.
waiting(Node) ->
    {ok, #{queue := Queue}} = erpc:call(Node, py, stats, [default]),
    Queue.

%%% Full pools

limited(Max) ->
    [{contexts, 1}, {pools, #{few => #{size => 1, max_calls => Max}}}].

%% A call of the pool that does not end, and is under way.
hold(Pool) ->
    Before = maps:get(calls, py_place:calls(Pool)),
    Slow = py:cast(Pool, time, sleep, [3600]),
    py_ct:eventually(fun() -> maps:get(calls, py_place:calls(Pool)) > Before end),
    Slow.

end_held(Pool, Slow) ->
    ok = py_cast:cancel(Slow),
    py_ct:eventually(fun() -> maps:get(calls, py_place:calls(Pool)) =:= 0 end).

a_full_pool_spills(_) ->
    nodes(limited(1), [limited(2)],
          fun([Node], _) ->
                  ok = offers(Node, few, 1),
                  [Here] = helpers(node(), few),
                  [There] = helpers(Node, few),
                  ?assertEqual(Here, served(few)),
                  Slow = hold(few),
                  ?assertEqual([There], lists:usort([served(few) || _ <- lists:seq(1, 20)])),
                  ?assertEqual({ok, There}, py:await(py:cast(few, os, getpid, []))),
                  ?assertEqual({ok, [0, 1]}, py:stream(few, builtins, range, [2])),
                  {ok, Stream} = py:stream_start(few, builtins, range, [2]),
                  ?assertEqual([0, 1], items(Stream)),
                  %% What has to be in one context stays there.
                  ?assertEqual({error, {gather_failed, [{1, {overloaded, 1, 1}}]}},
                               py:async_gather(few, [{asyncio, sleep, [0]}], 5000)),
                  ok = end_held(few, Slow),
                  ?assertEqual(Here, served(few))
          end).

a_bound_process_does_not_spill(_) ->
    nodes(limited(1), [limited(2)],
          fun([Node], _) ->
                  ok = offers(Node, few, 1),
                  {ok, Context} = py_context_router:get_context(few),
                  Slow = hold(few),
                  ok = py_context_router:bind_context(few, Context),
                  ?assertEqual({error, {overloaded, 1, 1}}, py:call(few, os, getpid, [])),
                  ok = py_context_router:unbind_context(few),
                  ?assertMatch({ok, _}, py:call(few, os, getpid, [])),
                  ok = end_held(few, Slow),
                  %% A process may be bound to a context of another node.
                  [Far] = erpc:call(Node, py_context_router, contexts, [few]),
                  ok = py_context_router:bind_context(few, Far),
                  ?assertEqual(erpc:call(Node, py_ct, helper_pid, [Far]), served(few)),
                  ok = py_context_router:unbind_context(few)
          end).

all_are_full(_) ->
    nodes(limited(1), [limited(1), limited(1)],
          fun(Nodes, _) ->
                  [ok = offers(N, few, 1) || N <- Nodes],
                  Slow = [hold_next(I, Nodes) || I <- [1, 2, 3]],
                  ?assertEqual({error, {overloaded, 1, 1}}, py:call(few, os, getpid, [])),
                  ?assertEqual({error, {overloaded, 1, 1}},
                               py:await(py:cast(few, os, getpid, []))),
                  %% What a context said, perhaps in the midst of it, is not asked again.
                  Said = fun(_) -> self() ! asked, {error, {overloaded, 1, 1}} end,
                  ?assertEqual({error, {overloaded, 1, 1}},
                               py_cluster:run(few, {error, none}, Said)),
                  receive asked -> ok end,
                  [ok = py_cast:cancel(S) || S <- Slow],
                  py_ct:eventually(fun() -> held(Nodes) =:= 0 end),
                  ?assertMatch({ok, _}, py:call(few, os, getpid, []))
          end).

hold_next(I, Nodes) ->
    Slow = py:cast(few, time, sleep, [3600]),
    py_ct:eventually(fun() -> held(Nodes) =:= I end),
    Slow.

held(Nodes) ->
    lists:sum([maps:get(calls, erpc:call(N, py_place, calls, [few]), 0) || N <- [node() | Nodes]]).

%%% Ends

%% Nothing is left of those calls but what they answered.
a_node_is_killed(_) ->
    nodes(client(), [[{contexts, 2}], [{contexts, 2}]],
          fun([_, B], [PeerA, _]) ->
                  Before = length(processes()),
                  Self = self(),
                  Callers = [spawn_monitor(fun() -> exit({all, calls(Self, [])}) end)
                             || _ <- lists:seq(1, 64)],
                  [receive {calling, Pid} -> ok end || {Pid, _} <- Callers],
                  ok = py_peers:kill(PeerA),
                  py_ct:eventually(fun() -> py_cluster_nodes(default) =:= [B] end),
                  [Pid ! stop || {Pid, _} <- Callers],
                  Lost = lists:append([lost(C) || C <- Callers]),
                  ct:pal("~b calls were lost", [length(Lost)]),
                  ?assertEqual([], [E || E <- Lost, E =/= {error, {context_died, noconnection}}]),
                  ?assertEqual({ok, 4.0}, py:call(math, sqrt, [16])),
                  ?assertEqual([0], lists:usort(under_way())),
                  py_ct:eventually(fun() -> length(processes()) =< Before end)
          end).

calls(Parent, Failed) ->
    receive
        stop ->
            {messages, []} = process_info(self(), messages),
            Failed
    after 0 ->
        Result = py:call(time, sleep, [0.005]),
        _ = [Parent ! {calling, self()} || get(calling) =:= undefined],
        put(calling, true),
        calls(Parent, [R || {error, _} = R <- [Result]] ++ Failed)
    end.

lost({_, Mon}) ->
    receive
        {'DOWN', Mon, process, _, {all, Failed}} -> Failed;
        {'DOWN', Mon, process, _, Reason} -> ct:fail(Reason)
    end.

py_cluster_nodes(Pool) ->
    lists:usort([node(P) || P <- pg:get_members(terrarium, {pool, Pool})]).

%% How many calls are thought to be under way, for each pool of another node.
under_way() ->
    [element(1, py_slot_nif:read(element(3, Row)))
     || Row <- ets:tab2list(py_cluster), element(1, Row) =:= row].

a_pool_stops_and_starts(_) ->
    nodes(client(), [[{contexts, 1}]],
          fun([Node], _) ->
                  Self = self(),
                  Callers = [spawn_monitor(fun() -> exit({all, calls(Self, [])}) end)
                             || _ <- lists:seq(1, 8)],
                  [receive {calling, Pid} -> ok end || {Pid, _} <- Callers],
                  [begin
                       ok = erpc:call(Node, py_context_router, stop, []),
                       {ok, _} = erpc:call(Node, py_context_router, start, [])
                   end || _ <- lists:seq(1, 5)],
                  [Pid ! stop || {Pid, _} <- Callers],
                  Failed = lists:append([lost(C) || C <- Callers]),
                  ?assertEqual([], [E || {error, Reason} = E <- Failed,
                                         not is_stopped(Reason)]),
                  ok = offers(Node, default, 1),
                  ?assertEqual({ok, 4.0}, py:call(math, sqrt, [16])),
                  ?assertEqual([0], lists:usort(under_way()))
          end).

is_stopped({no_pool, default}) -> true;
is_stopped({context_died, _}) -> true;
is_stopped({crashed, _}) -> true;
is_stopped(_) -> false.

not_distributed(_) ->
    nodes(client(), [[{contexts, 1}, {distribute, false}], [{contexts, 1}]],
          fun([Closed, Open], _) ->
                  ?assertEqual([Open], py_cluster_nodes(default)),
                  ?assertMatch({ok, _}, py:call(os, getpid, [])),
                  ?assertEqual({error, {no_pool, default}},
                               py:await(py_cast:start({ok, {remote, Closed, default}},
                                                      {ok, request()}, reply()))),
                  ok = py_ct:start([{distribute, false} | client()]),
                  ?assertEqual({error, {no_pool, default}}, py:call(os, getpid, [])),
                  [Far] = erpc:call(Open, py_context_router, contexts, []),
                  ?assertMatch({ok, _}, py:call(Far, os, getpid, []))
          end).

request() ->
    {ok, Request} = py_prepare:call(none, os, getpid, [], #{}, 5000),
    Request.

reply() ->
    #{tag => py_response, reply => true}.
