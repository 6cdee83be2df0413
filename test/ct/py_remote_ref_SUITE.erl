%% SPDX-License-Identifier: Apache-2.0
%% @doc Objects of contexts of other nodes, and questions about such contexts: who keeps
%% what alive, what the loss of a node ends, what is of one node only.
-module(py_remote_ref_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [references, references_are_collected, a_holders_node_is_lost,
     the_node_of_an_object_is_lost, references_in_messages, nodes_lose_each_other, questions,
     shared_memory].

init_per_suite(Config) ->
    Before = py_peers:begin_node(),
    [{node, Before} | Config].

end_per_suite(Config) ->
    py_peers:end_node(proplists:get_value(node, Config)).

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}]),
    Config.

end_per_testcase(_, _) ->
    ok = py_ct:stop(),
    ?assertEqual([], py_ct:mailbox()).

%% With another node, which has one context.
with_peer(Run) ->
    #{node := Node} = Peer = py_peers:start([{contexts, 1}]),
    try
        true = net_kernel:connect_node(Node),
        Run(Node, Peer)
    after
        py_peers:stop(Peer)
    end.

%%% References

far_list(Node) ->
    [Context | _] = erpc:call(Node, py_context_router, contexts, []),
    {ok, L} = py:call(Context, builtins, list, [[3, 1]], #{return => ref}),
    {Context, L}.

lent(Node) ->
    erpc:call(Node, py_lent, live, []).

handles(Node) ->
    erpc:call(Node, py_ref_nif, live, []).

references(_) ->
    with_peer(
      fun(Node, _) ->
          {Context, L} = far_list(Node),
          ?assert(py:is_ref(L)),
          ?assertEqual({ok, none}, py:call_method(L, append, [2])),
          ?assertEqual({ok, [3, 1, 2]}, py:to_term(L)),
          ?assertEqual({ok, [1, 2, 3]}, py:call(Context, builtins, sorted, [L])),
          {ok, Copy} = py:call_method(L, copy, [], #{return => ref}),
          ?assertEqual({ok, [3, 1, 2]}, py:to_term(Copy)),
          {ok, Number} = py:call(Context, builtins, complex, [3, 4], #{return => ref}),
          ?assertEqual({ok, 3.0}, py:getattr(Number, real)),
          ?assertEqual({error, {"AttributeError",
                                "'complex' object has no attribute 'none'"}},
                       py:getattr(Number, none)),
          %% One of another context is not taken for one of this.
          {ok, Other} = erpc:call(Node, py_context_router, start_pool, [other, 1]),
          ?assertEqual({error, {stale_ref, L}}, py:call(hd(Other), builtins, len, [L])),
          ok = py_context:release(L),
          ?assertEqual({error, {stale_ref, L}}, py:to_term(L)),
          ?assertEqual({error, {stale_ref, L}}, py:call(Context, builtins, len, [L]))
      end).

references_are_collected(_) ->
    with_peer(
      fun(Node, _) ->
          Holders = [spawn_monitor(fun() ->
                                           {_, L} = far_list(Node),
                                           receive stop -> py:to_term(L) end
                                   end) || _ <- lists:seq(1, 10)],
          py_ct:eventually(fun() -> lent(Node) =:= 10 end),
          %% The runners are no more.
          ?assert(handles(Node) >= 10),
          [exit(Pid, kill) || {Pid, _} <- Holders],
          [receive {'DOWN', Mon, process, _, killed} -> ok end || {_, Mon} <- Holders],
          py_ct:eventually(fun() -> lent(Node) =:= 0 end),
          py_ct:eventually(fun() -> handles(Node) =:= 0 end)
      end).

a_holders_node_is_lost(_) ->
    with_peer(
      fun(Node, Peer) ->
          Context = py:context(1),
          _ = erpc:call(Node, ?MODULE, keep_a_list, [Context]),
          ?assertEqual(1, lent(node())),
          ok = py_peers:kill(Peer),
          py_ct:eventually(fun() -> lent(node()) =:= 0 end)
      end).

%% In a process that does not end.
keep_a_list(Context) ->
    Self = self(),
    Pid = spawn(fun() ->
                        {ok, L} = py:call(Context, builtins, list, [[1]], #{return => ref}),
                        Self ! {self(), L},
                        receive stop -> py:to_term(L) end
                end),
    receive {Pid, L} -> L end.

the_node_of_an_object_is_lost(_) ->
    with_peer(
      fun(Node, Peer) ->
          {_, L} = far_list(Node),
          ok = py_peers:kill(Peer),
          py_ct:eventually(fun() -> not lists:member(Node, nodes()) end),
          ?assertEqual({error, {context_died, noconnection}}, py:to_term(L)),
          ?assertEqual({ok, L}, py_context:hold(L)),
          ?assertEqual(ok, py_context:release(L))
      end).

%% A message carries the reference, and not what keeps its object.
references_in_messages(_) ->
    with_peer(
      fun(Node, _) ->
          Self = self(),
          Keeper = erlang:spawn(Node, ?MODULE, give_a_list, [Self]),
          L = receive {Keeper, Ref} -> Ref end,
          ?assertEqual({ok, [1]}, py:to_term(L)),
          {ok, Held} = py_context:hold(L),
          ?assertEqual({ok, Held}, py_context:hold(Held)),
          exit(Keeper, kill),
          ?assertEqual({ok, [1]}, py:to_term(Held)),
          ?assertEqual({ok, [1]}, py:to_term(L)),
          ok = py_context:release(Held),
          ?assertEqual({error, {stale_ref, L}}, py:to_term(L)),
          Second = erlang:spawn(Node, ?MODULE, give_a_list, [Self]),
          Lost = receive {Second, Ref2} -> Ref2 end,
          exit(Second, kill),
          py_ct:eventually(fun() -> {error, {stale_ref, Lost}} =:= py:to_term(Lost) end),
          py_ct:eventually(fun() -> {error, {stale_ref, Lost}} =:= py_context:hold(Lost) end)
      end).

give_a_list(To) ->
    {ok, L} = py:call(builtins, list, [[1]], #{}, #{return => ref}),
    To ! {self(), L},
    receive stop -> py:to_term(L) end.

%% What the one held is let go of, and said to be that when they meet again.
nodes_lose_each_other(_) ->
    with_peer(
      fun(Node, Peer) ->
          {Context, L} = far_list(Node),
          %% It knows who has it.
          _ = sys:get_state({py_lent, Node}),
          ok = py_peers:cut(Peer),
          py_ct:eventually(fun() -> py_peers:call(Peer, py_lent, live, []) =:= 0 end),
          true = net_kernel:connect_node(Node),
          py_ct:eventually(fun() -> {error, {stale_ref, L}} =:= py:to_term(L) end),
          ?assertEqual({error, {stale_ref, L}}, py:call(Context, builtins, len, [L])),
          ?assertMatch({error, #{type := <<"AttributeError">>}},
                       py:call(Context, '__main__', nothing, [], #{errors => map})),
          {_, Again} = far_list(Node),
          ?assertEqual({ok, [3, 1]}, py:to_term(Again))
      end).

%%% Questions

questions(_) ->
    with_peer(
      fun(Node, Peer) ->
          [Context] = erpc:call(Node, py_context_router, contexts, []),
          OsPid = py_ct:helper_pid(Context),
          {ok, #{os_pid := OsPid, restarts := 0}} = py_context:info(Context),
          {ok, #{interpreter := #{}}} = py_context:info(Context, 5000),
          {ok, #{contexts := 1, ready := 1}} = py:stats(Context),
          {ok, Id} = py_context:get_interp_id(Context),
          ?assert(is_integer(Id)),
          ?assertEqual({error, idle}, py:interrupt(Context)),
          Busy = py:cast(Context, time, sleep, [3600]),
          py_ct:eventually(fun() -> queue(Context) =:= 1 end),
          {ok, Text} = py:backtrace(Context),
          ?assert(is_binary(Text)),
          py_ct:eventually(fun() -> py:interrupt(Context) =:= ok end),
          ?assertMatch({error, {"KeyboardInterrupt", _}}, py:await(Busy)),
          {ok, Fd} = py:dup_fd(2),
          ?assertEqual({error, {remote, Node}}, py_reactor_context:handoff(Context, Fd)),
          ?assertEqual({error, {remote, Node}}, py_reactor_context:stats(Context)),
          ok = py:close_fd(Fd),
          ?assertEqual({error, {remote, Node}}, py:configure_logging(#{context => Context})),
          ok = py_context:start_loop(Context),
          ok = py_context:stop_loop(Context),
          ok = py_context:renew(Context),
          {ok, #{renewals := 1}} = py_context:info(Context),
          ok = py_context:stop(Context),
          ?assertEqual({error, {context_died, noproc}}, py_context:info(Context)),
          py_ct:eventually(fun() -> hd(contexts(Node)) =/= Context end),
          [Next] = contexts(Node),
          ok = py_peers:kill(Peer),
          py_ct:eventually(fun() -> not lists:member(Node, nodes()) end),
          Lost = {error, {context_died, noconnection}},
          ?assertEqual([Lost], lists:usort([F(Next) || F <- asking()])),
          ?assertEqual(ok, py_context:stop(Next))
      end).

queue(Context) ->
    {ok, #{queue := Queue}} = py:stats(Context),
    Queue.

contexts(Node) ->
    erpc:call(Node, py_context_router, contexts, []).

asking() ->
    [fun py_context:info/1, fun py_context:get_interp_id/1, fun py_context:backtrace/1,
     fun py_context:interrupt/1, fun py_context:renew/1, fun py:stats/1, fun py:interrupt/1,
     fun(C) -> py_context:info(C, 5000) end, fun(C) -> py:call(C, os, getpid, []) end].

%% A segment is of one node; elsewhere its term says which.
shared_memory(_) ->
    with_peer(
      fun(Node, _) ->
          {ok, Shm} = erpc:call(Node, py_shm, new, [<<"far">>]),
          Name = atom_to_list(Node),
          ?assertEqual({error, gone}, py_shm:to_binary(Shm)),
          ?assertMatch({error, {"SharedMemoryError", "the segment is one of node " ++ Name}},
                       py:call(builtins, bytes, [Shm])),
          {ok, Mine} = py_shm:new(<<"near">>),
          [Far] = contexts(Node),
          Own = atom_to_list(node()),
          ?assertMatch({error, {"SharedMemoryError", "the segment is one of node " ++ Own}},
                       py:call(Far, builtins, bytes, [Mine])),
          ?assertEqual({ok, <<"near">>}, py_shm:to_binary(Mine))
      end).
