%% SPDX-License-Identifier: Apache-2.0
%% @doc Semaphores.
-module(py_semaphore_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [acquire_and_release, overloaded, in_order, a_holder_dies, one_that_waits_dies, several_slots,
     with_a_slot, bad_timeouts, more_and_fewer, of_the_application,
     goes_with_its_owner, never_more_than_max].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {max_concurrent, 3}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()).

new(N) ->
    {ok, S} = py_semaphore:new(N),
    S.

acquire_and_release(_) ->
    S = new(2),
    ?assertEqual({error, not_held}, py_semaphore:release(S)),
    ok = py_semaphore:acquire(S),
    1 = py_semaphore:current(S),
    ok = py_semaphore:release(S),
    0 = py_semaphore:current(S),
    ?assertEqual({error, not_held}, py_semaphore:release(S)),
    [?assertEqual({error, {invalid, max, X}}, py_semaphore:new(X)) || X <- [0, -1, a, 1.0]],
    ok = py_semaphore:stop(S),
    ok = py_semaphore:stop(S),
    ?assertEqual({error, not_started}, py_semaphore:acquire(S, 10)).

overloaded(_) ->
    S = new(1),
    ok = py_semaphore:acquire(S),
    [?assertEqual([{error, {overloaded, 1, 1}}],
                  py_ct:parallel(1, fun(_) -> py_semaphore:acquire(S, T) end)) || T <- [0, 20]],
    ok = py_semaphore:release(S),
    %% Who gave up has no place in the queue.
    [ok] = py_ct:parallel(1, fun(_) -> py_semaphore:acquire(S, 0) end),
    py_ct:eventually(fun() -> py_semaphore:current(S) =:= 0 end).

in_order(_) ->
    S = new(1),
    ok = py_semaphore:acquire(S),
    Self = self(),
    Pids = [begin
                P = spawn_link(fun() ->
                                       ok = py_semaphore:acquire(S),
                                       Self ! {got, I},
                                       ok = py_semaphore:release(S)
                               end),
                py_ct:eventually(fun() -> waiting(S) =:= I end),
                P
            end || I <- lists:seq(1, 20)],
    ok = py_semaphore:release(S),
    ?assertEqual(lists:seq(1, 20), [receive {got, I} -> I end || _ <- Pids]).

waiting({py_semaphore, Pid}) ->
    {state, _, _, _, _, Queue} = sys:get_state(Pid),
    queue:len(Queue).

%% Nothing is asked for: no slot is held, and no answer comes.
bad_timeouts(_) ->
    S = new(1),
    [begin
         Bad = {error, {invalid, timeout, T}},
         ?assertEqual(Bad, py_semaphore:acquire(S, T)),
         ?assertEqual(Bad, py_semaphore:with(S, fun() -> ok end, T)),
         ?assertEqual(Bad, py_semaphore:acquire(T))
     end || T <- [-1, x, 1.5, 1 bsl 32]],
    ?assertEqual(0, py_semaphore:current(S)),
    ?assertEqual([], py_ct:mailbox()).

a_holder_dies(_) ->
    S = new(1),
    Self = self(),
    {P, Mon} = spawn_monitor(fun() ->
                                     ok = py_semaphore:acquire(S),
                                     Self ! held,
                                     receive stop -> ok end
                             end),
    receive held -> ok end,
    ?assertEqual({error, {overloaded, 1, 1}}, py_semaphore:acquire(S, 0)),
    exit(P, kill),
    ok = py_semaphore:acquire(S, 20000),
    receive {'DOWN', Mon, process, _, killed} -> ok end,
    1 = py_semaphore:current(S).

one_that_waits_dies(_) ->
    S = new(1),
    ok = py_semaphore:acquire(S),
    {P, Mon} = spawn_monitor(fun() -> py_semaphore:acquire(S) end),
    py_ct:eventually(fun() -> waiting(S) =:= 1 end),
    exit(P, kill),
    receive {'DOWN', Mon, process, _, killed} -> ok end,
    py_ct:eventually(fun() -> waiting(S) =:= 0 end),
    ok = py_semaphore:release(S),
    0 = py_semaphore:current(S).

several_slots(_) ->
    S = new(3),
    Self = self(),
    {P, Mon} = spawn_monitor(fun() ->
                                     [ok = py_semaphore:acquire(S) || _ <- [1, 2, 3]],
                                     ok = py_semaphore:release(S),
                                     Self ! held,
                                     receive stop -> ok end
                             end),
    receive held -> ok end,
    2 = py_semaphore:current(S),
    P ! stop,
    receive {'DOWN', Mon, process, _, normal} -> ok end,
    py_ct:eventually(fun() -> py_semaphore:current(S) =:= 0 end).

with_a_slot(_) ->
    S = new(1),
    1 = py_semaphore:with(S, fun() -> py_semaphore:current(S) end, 100),
    ?assertError(oops, py_semaphore:with(S, fun() -> error(oops) end, 100)),
    0 = py_semaphore:current(S),
    {ok, 4.0} = py_semaphore:with(fun() -> py:call(math, sqrt, [16]) end),
    ok = py_semaphore:acquire(S),
    ?assertEqual([{error, {overloaded, 1, 1}}],
                 py_ct:parallel(1, fun(_) -> py_semaphore:with(S, fun() -> never end, 0) end)).

more_and_fewer(_) ->
    S = new(1),
    ok = py_semaphore:acquire(S),
    Self = self(),
    P = spawn_link(fun() -> Self ! {got, py_semaphore:acquire(S)}, receive stop -> ok end end),
    py_ct:eventually(fun() -> waiting(S) =:= 1 end),
    ok = py_semaphore:set_max_concurrent(S, 2),
    receive {got, ok} -> ok end,
    2 = py_semaphore:max_concurrent(S),
    ok = py_semaphore:set_max_concurrent(S, 1),
    ?assertEqual({error, {overloaded, 2, 1}}, py_semaphore:acquire(S, 0)),
    ?assertEqual({error, {invalid, max, 0}}, py_semaphore:set_max_concurrent(S, 0)),
    unlink(P),
    P ! stop,
    py_ct:eventually(fun() -> py_semaphore:current(S) =:= 1 end).

of_the_application(_) ->
    3 = py_semaphore:max_concurrent(),
    0 = py_semaphore:current(),
    ok = py_semaphore:acquire(),
    ok = py_semaphore:acquire(1000),
    2 = py_semaphore:current(),
    [ok = py_semaphore:release() || _ <- [1, 2]],
    ok = py_semaphore:set_max_concurrent(1),
    ok = py_semaphore:acquire(0),
    ?assertEqual({error, {overloaded, 1, 1}}, py_semaphore:acquire(0)),
    ok = py_semaphore:release(),
    ok = py_semaphore:set_max_concurrent(3).

goes_with_its_owner(_) ->
    [S] = py_ct:parallel(1, fun(_) -> new(1) end),
    py_ct:eventually(fun() -> py_semaphore:current(S) =:= {error, not_started} end).

%% Some hold for a moment, some die holding, some give up.
never_more_than_max(_) ->
    S = new(3),
    Inside = atomics:new(1, []),
    Most = atomics:new(1, []),
    Turns = [ok || _ <- lists:seq(1, 30)],
    Done = py_ct:parallel(20, fun(I) ->
                                      [turn(S, Inside, Most, I + K) || K <- lists:seq(1, 30)]
                              end),
    ?assertEqual([Turns], lists:usort(Done)),
    py_ct:eventually(fun() -> py_semaphore:current(S) =:= 0 end),
    ?assert(atomics:get(Most, 1) =< 3).

turn(S, Inside, Most, N) ->
    {P, Mon} = spawn_monitor(fun() -> inside(S, Inside, Most, N) end),
    receive
        {'DOWN', Mon, process, P, Why} when Why =:= normal; Why =:= died_holding -> ok
    after 20000 -> stuck
    end.

inside(S, Inside, Most, N) ->
    Wait = case N rem 3 of 0 -> 1; _ -> infinity end,
    case py_semaphore:acquire(S, Wait) of
        ok ->
            ok = most(Most, atomics:add_get(Inside, 1, 1)),
            erlang:yield(),
            atomics:sub(Inside, 1, 1),
            N rem 2 =:= 0 andalso exit(died_holding),
            ok = py_semaphore:release(S);
        {error, {overloaded, _, 3}} ->
            ok
    end.

most(Most, N) ->
    case atomics:get(Most, 1) of
        M when M < N -> _ = atomics:compare_exchange(Most, 1, M, N), most(Most, N);
        _ -> ok
    end.
