%% SPDX-License-Identifier: Apache-2.0
%% @doc Streams of contexts of other nodes.
-module(py_remote_stream_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(LOST, {error, {context_died, noconnection}}).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [lists, messages, functions_of_the_receiver, window, cancelled, receiver_dies, fails,
     receivers_node_dies, context_node_dies, context_node_dies_at_rest, list_of_a_lost_node].

init_per_suite(Config) ->
    Before = py_peers:begin_node(),
    ok = py_ct:start([{contexts, 1}]),
    Peer = py_peers:start(),
    [{before, Before}, {peer, Peer}, {context, py_remote_SUITE:context(Peer)} | Config].

end_per_suite(Config) ->
    ok = py_peers:stop(peer(Config)),
    ok = py_ct:stop(),
    py_peers:end_node(proplists:get_value(before, Config)).

init_per_testcase(_, Config) ->
    ok = define(there(Config)),
    Config.

end_per_testcase(_, Config) ->
    ?assertEqual([], py_ct:mailbox()),
    ?assertEqual({monitors, []}, process_info(self(), monitors)),
    [py:unregister_function(Name) || Name <- py_callback:registered()],
    py_ct:eventually(fun() -> ets:info(py_workers, size) =:= 0 end),
    py_remote_SUITE:nothing_runs(peer(Config)).

peer(Config) -> proplists:get_value(peer, Config).
there(Config) -> proplists:get_value(context, Config).

%% `endless' notes how far it is, and that it was closed.
define(Context) ->
    py:exec(Context, "import erlang, time\n"
                     "at, closed = 0, False\n"
                     "def endless():\n"
                     "  global at, closed\n"
                     "  closed = False\n"
                     "  try:\n"
                     "    for at in range(10**9):\n"
                     "      yield at\n"
                     "  finally:\n"
                     "    closed = True\n"
                     "async def later(n):\n"
                     "  for i in range(n): yield i\n"
                     "def fails():\n"
                     "  yield 1\n"
                     "  raise KeyError('k')\n"
                     "def calls(n):\n"
                     "  for i in range(n): yield erlang.f(i)\n").

is_closed(Context) ->
    py_ct:eventually(fun() -> py:eval(Context, "closed") =:= {ok, true} end).

next(Ref) ->
    receive
        {py_stream, Ref, What} -> What
    after 60000 -> ct:fail(nothing_comes)
    end.

all_of(Ref) ->
    case next(Ref) of
        {data, Item} -> [Item | all_of(Ref)];
        End -> [End]
    end.

lists(Config) ->
    C = there(Config),
    ?assertEqual({ok, lists:seq(0, 999)}, py:stream(C, builtins, range, [1000])),
    ?assertEqual({ok, [0, 1, 2]}, py:stream(C, '__main__', later, [3])),
    ?assertEqual({ok, [0, 1, 4]}, py:stream_eval(C, "(i * i for i in range(3))")),
    ?assertMatch({error, {"KeyError", _}}, py:stream(C, '__main__', fails, [])),
    ?assertEqual({error, timeout}, py:stream(C, '__main__', endless, [], #{timeout => 200})),
    is_closed(C).

messages(Config) ->
    C = there(Config),
    {ok, Range} = py:stream_start(C, builtins, range, [1000]),
    ?assertEqual([{data, 0}], [next(Range)]),
    ?assertEqual(lists:seq(1, 999) ++ [done], all_of(Range)),
    {ok, Later} = py:stream_start(C, '__main__', later, [5]),
    ?assertEqual(lists:seq(0, 4) ++ [done], all_of(Later)),
    {ok, Few} = py:stream_start(C, builtins, range, [5], #{batch => 2, window => 3}),
    ?assertEqual(lists:seq(0, 4) ++ [done], all_of(Few)).

functions_of_the_receiver(Config) ->
    ok = py:register_function(f, fun([N]) -> {node(), N} end),
    ?assertEqual({ok, [{node(), N} || N <- [0, 1, 2]]},
                 py:stream(there(Config), '__main__', calls, [3])),
    {ok, Ref} = py:stream_start(there(Config), '__main__', calls, [3]),
    ?assertEqual([{node(), N} || N <- [0, 1, 2]] ++ [done], all_of(Ref)).

%% Python is never further ahead than the window and a batch.
window(Config) ->
    C = there(Config),
    {ok, Ref} = py:stream_start(C, '__main__', endless, [], #{window => 10, batch => 5}),
    py_ct:eventually(fun() -> length(py_ct:mailbox()) >= 10 end),
    {ok, At} = py:eval(C, "at"),
    ?assert(At =< 20),
    [?assertEqual({data, N}, next(Ref)) || N <- lists:seq(0, 99)],
    {ok, Further} = py:eval(C, "at"),
    ?assert(Further =< 120),
    ok = py:stream_cancel(Ref).

cancelled(Config) ->
    {ok, Ref} = py:stream_start(there(Config), '__main__', endless, []),
    {data, 0} = next(Ref),
    ok = py:stream_cancel(Ref),
    ?assertEqual({ok, true}, py:eval(there(Config), "closed")).

receiver_dies(Config) ->
    {Pid, Mon} = spawn_monitor(fun() -> receive {'DOWN', _, _, _, _} -> ok end end),
    {ok, _} = py:stream_start(there(Config), '__main__', endless, [], #{owner => Pid}),
    py_ct:eventually(fun() -> py:eval(there(Config), "at > 0") =:= {ok, true} end),
    true = exit(Pid, kill),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    is_closed(there(Config)).

fails(Config) ->
    {ok, Ref} = py:stream_start(there(Config), '__main__', fails, []),
    ?assertMatch([1, {error, {"KeyError", _}}], all_of(Ref)),
    {ok, None} = py:stream_start(there(Config), '__main__', nothing, []),
    ?assertMatch([{error, {"AttributeError", _}}], all_of(None)).

%% Runs on a peer.
receive_stream(Context) ->
    _ = spawn(fun() ->
                      {ok, _} = py:stream_start(Context, '__main__', endless, []),
                      receive after infinity -> ok end
              end),
    ok.

%% The generator is closed on the node that is left.
receivers_node_dies(_) ->
    Near = py:context(1),
    ok = define(Near),
    Peer = py_peers:start(),
    ok = py_peers:call(Peer, ?MODULE, receive_stream, [Near]),
    py_ct:eventually(fun() -> py:eval(Near, "at > 0") =:= {ok, true} end),
    ok = py_peers:kill(Peer),
    is_closed(Near),
    ok = py_peers:stop(Peer).

with_another(Fun) ->
    Peer = py_peers:start(),
    Context = py_remote_SUITE:context(Peer),
    ok = define(Context),
    Fun(Peer, Context),
    ok = py_peers:stop(Peer).

context_node_dies(_) ->
    with_another(fun(Peer, C) ->
                         ok = py:register_function(f, fun([N]) ->
                                                              _ = N =:= 3 andalso
                                                                  py_peers:kill(Peer),
                                                              N
                                                      end),
                         {ok, Ref} = py:stream_start(C, '__main__', calls, [10]),
                         {error, Reason} = lists:last(all_of(Ref)),
                         ?assertEqual(?LOST, {error, Reason})
                 end).

%% The receiver has as much as it may, and so nothing is asked for.
context_node_dies_at_rest(_) ->
    with_another(fun(Peer, C) ->
                         {ok, Ref} = py:stream_start(C, '__main__', endless, [],
                                                     #{window => 10, batch => 5}),
                         py_ct:eventually(fun() -> length(py_ct:mailbox()) >= 10 end),
                         ok = py_peers:kill(Peer),
                         ?assertEqual(?LOST, lists:last(all_of(Ref)))
                 end).

list_of_a_lost_node(_) ->
    with_another(fun(Peer, C) ->
                         ok = py:register_function(f, fun([_]) -> py_peers:kill(Peer) end),
                         ?assertEqual(?LOST, py:stream(C, '__main__', calls, [10]))
                 end).
