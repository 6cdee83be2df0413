%% SPDX-License-Identifier: Apache-2.0
%% @doc A pool's limit of calls under way: every form of a call has a slot, and
%% gives it back however it ends.
-module(py_limit_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(POOL, py_limit_pool).

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [options, no_limit_no_cost, every_form_is_refused, every_form_gives_back, timeouts_give_back,
     the_dead_give_back, crashes_give_back, streams_hold_one, functions_belong_to_the_call,
     by_registration_and_bound, reload_changes_it, parallel_in_the_default_pool,
     exact_among_many, killed_at_random].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}, {grace_ms, 500}]),
    Config.

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:stop().

pool(Size, Max) ->
    {ok, _} = py_context_router:start_pool(?POOL, Size, #{max_calls => Max,
                                                         imports => [asyncio, erlang, time]}),
    ok.

taken() ->
    #{calls := N} = py_place:calls(?POOL),
    N.

empty() ->
    py_ct:eventually(fun() -> taken() =:= 0 end).

%% Somebody holds the only slot until told.
full() ->
    ok = pool(2, 1),
    Here = self(),
    Pid = spawn_link(fun() ->
                             {ok, Limit} = limit(),
                             py_limit:run(Limit, fun() ->
                                                         Here ! {self(), holds},
                                                         receive stop -> ok end
                                                 end),
                             Here ! {self(), stopped}
                     end),
    receive {Pid, holds} -> Pid end.

limit() ->
    {ok, py_pool:limit(py_pools:term(?POOL))}.

stop(Pid) ->
    Pid ! stop,
    receive {Pid, stopped} -> ok end.

options(_) ->
    [?assertEqual({error, {invalid, max_calls, Bad}},
                  py_context_router:start_pool(?POOL, 1, #{max_calls => Bad}))
     || Bad <- [0, -1, x, 1.5, 1 bsl 40]],
    ok = pool(1, infinity),
    ?assertEqual(#{}, py_place:calls(?POOL)).

%% What callers read is what it is without this option at all.
no_limit_no_cost(_) ->
    ok = pool(2, infinity),
    ?assertMatch({_, _}, py_pools:term(?POOL)),
    {ok, Stats} = py:stats(?POOL),
    ?assertNot(is_map_key(max_calls, Stats)).

forms() ->
    [fun() -> py:call(?POOL, math, sqrt, [4]) end,
     fun() -> py:call(?POOL, math, sqrt, [4], #{timeout => 20000}) end,
     fun() -> py:eval(?POOL, "1") end,
     fun() -> py:eval(?POOL, "x", #{x => 1}) end,
     fun() -> py:exec(?POOL, "x = 1") end,
     fun() -> py:await(py:cast(?POOL, math, sqrt, [4])) end,
     fun() -> py:await(py:spawn_call(?POOL, math, sqrt, [4])) end,
     fun() -> py:async_await(py:async_call(?POOL, asyncio, sleep, [0])) end,
     fun() -> py_event_loop:run(?POOL, asyncio, sleep, [0]) end,
     fun() -> py_event_loop:await(py_event_loop:create_task(?POOL, asyncio, sleep, [0])) end,
     fun() -> one(py:async_gather(?POOL, [{asyncio, sleep, [0]}])) end,
     fun() -> py:stream(?POOL, builtins, range, [3]) end,
     fun() -> py:stream_eval(?POOL, "range(3)") end,
     fun() -> py_wsgi:run('wsgiref.simple_server', demo_app, #{}, #{pool => ?POOL}) end,
     fun() -> {ok, Ref} = py:stream_start(?POOL, builtins, range, [3]), all_of(Ref) end].

one({error, {gather_failed, [{1, Why}]}}) -> {error, Why};
one(Other) -> Other.

all_of(Ref) ->
    receive
        {py_stream, Ref, {data, _}} -> all_of(Ref);
        {py_stream, Ref, done} -> ok;
        {py_stream, Ref, {error, _} = Error} -> Error
    end.

every_form_is_refused(_) ->
    Holder = full(),
    [?assertEqual({error, {overloaded, 1, 1}}, Form()) || Form <- forms()],
    stop(Holder),
    empty().

every_form_gives_back(_) ->
    ok = pool(2, 1),
    [begin
         Result = Form(),
         ?assertNotMatch({error, _}, Result),
         empty()
     end || Form <- forms()].

%% Also where the caller is told before Python has ended.
timeouts_give_back(_) ->
    ok = pool(1, 1),
    {error, timeout} = py:call(?POOL, time, sleep, [60], #{timeout => 20}),
    ?assertEqual(0, taken()),
    {error, timeout} = py:await(py:cast(?POOL, time, sleep, [60]), 20),
    empty(),
    {error, timeout} = py:async_await(py:async_call(?POOL, asyncio, sleep, [60]), 20),
    empty(),
    {error, timeout} = py:stream(?POOL, itertools, count, [], 50),
    empty().

%% A caller that is killed, and one whose caller is.
the_dead_give_back(_) ->
    ok = pool(2, 1),
    [begin
         Pid = spawn(fun() -> _ = Call(), receive never -> ok end end),
         py_ct:eventually(fun() -> taken() =:= 1 end),
         exit(Pid, kill),
         empty()
     end || Call <- [fun() -> py:call(?POOL, time, sleep, [60]) end,
                     fun() -> py:cast(?POOL, time, sleep, [60]) end,
                     fun() -> py:async_call(?POOL, asyncio, sleep, [60]) end,
                     fun() -> py:stream(?POOL, itertools, count, []) end,
                     fun() -> py:stream_start(?POOL, itertools, count, []) end]].

crashes_give_back(_) ->
    ok = pool(1, 2),
    {error, {crashed, _}} = py:call(?POOL, os, '_exit', [1]),
    ?assertEqual(0, taken()),
    {error, {crashed, _}} = py:await(py:cast(?POOL, os, '_exit', [1])),
    ?assertEqual(0, taken()),
    Refs = [py:cast(?POOL, time, sleep, [60]) || _ <- [1, 2]],
    ?assertEqual(2, taken()),
    [Context] = py_context_router:contexts(?POOL),
    ok = py_context:stop(Context),
    [{error, {context_died, _}} = py:await(Ref) || Ref <- Refs],
    ?assertEqual(0, taken()).

%% As long as it has items, whoever reads them or does not.
streams_hold_one(_) ->
    ok = pool(2, 1),
    {ok, Ref} = py:stream_start(?POOL, itertools, count, []),
    receive {py_stream, Ref, {data, 0}} -> ok end,
    ?assertEqual({error, {overloaded, 1, 1}}, py:eval(?POOL, "1")),
    ok = py:stream_cancel(Ref),
    empty(),
    {ok, Other} = py:stream_start(?POOL, builtins, range, [3]),
    ok = all_of(Other),
    empty().

functions_belong_to_the_call(_) ->
    ok = pool(1, 1),
    ok = py:register_function(again, fun([N]) -> again(N) end),
    ?assertEqual({ok, 5}, py:call(?POOL, erlang, again, [5])),
    ?assertEqual(0, taken()).

again(0) -> 0;
again(N) ->
    {ok, More} = py:call(?POOL, erlang, again, [N - 1]),
    More + 1.

by_registration_and_bound(_) ->
    Holder = full(),
    ok = py:register_pool(?POOL, cmath),
    Overloaded = {error, {overloaded, 1, 1}},
    ?assertEqual(Overloaded, py:call(cmath, sqrt, [4])),
    ?assertEqual(Overloaded, py:await(py:cast(cmath, sqrt, [4]))),
    {ok, Context} = py_context_router:get_context(?POOL),
    ok = py_context_router:bind_context(?POOL, Context),
    ?assertEqual(Overloaded, py:eval(?POOL, "1")),
    ?assertEqual({ok, 1}, py:eval(Context, "1")),
    stop(Holder),
    ?assertEqual({ok, 1}, py:eval(?POOL, "1")),
    ok = py_context_router:unbind_context(?POOL).

%% Calls under way count also for the new one.
reload_changes_it(_) ->
    Holder = full(),
    ok = py_context_router:reload_pool(?POOL, #{max_calls => 2}),
    ?assertEqual(#{calls => 1, max_calls => 2}, py_place:calls(?POOL)),
    ?assertEqual({ok, 1}, py:eval(?POOL, "1")),
    {error, _} = py_context_router:reload_pool(?POOL, #{max_calls => 1,
                                                        imports => [no_such_module]}),
    ?assertEqual(#{calls => 1, max_calls => 2}, py_place:calls(?POOL)),
    stop(Holder),
    ok = py_context_router:reload_pool(?POOL, #{max_calls => infinity}),
    ?assertEqual(#{}, py_place:calls(?POOL)).

parallel_in_the_default_pool(_) ->
    ok = py_context_router:reload_pool(default, #{max_calls => 2}),
    Naps = [{time, sleep, [1]} || _ <- [1, 2, 3]],
    ?assertEqual({error, {overloaded, 2, 2}}, py:parallel(lists:reverse(Naps))),
    py_ct:eventually(fun() -> py_place:calls(default) =:= #{calls => 0, max_calls => 2} end),
    ?assertEqual({ok, [2.0, 3.0]}, py:parallel([{math, sqrt, [4]}, {math, sqrt, [9]}])),
    ?assertEqual({ok, 4.0}, py:call(math, sqrt, [16])).

%% Never more than so many at once, and nobody is refused while there is room.
exact_among_many(_) ->
    ok = pool(2, 3),
    {ok, Limit} = limit(),
    Inside = counters:new(1, [atomics]),
    Results = py_ct:parallel(16, fun(_) ->
        [py_limit:run(Limit, fun() ->
             ok = counters:add(Inside, 1, 1),
             Now = counters:get(Inside, 1),
             erlang:yield(),
             ok = counters:sub(Inside, 1, 1),
             Now
         end) || _ <- lists:seq(1, 5000)]
    end),
    All = lists:append(Results),
    ?assertEqual([], [R || R <- All, is_integer(R), R > 3]),
    ?assertEqual([], [R || {error, {overloaded, N, 3}} = R <- All, N < 3]),
    ?assert(lists:any(fun is_integer/1, All)),
    ?assertEqual(0, taken()).

%% Callers of all kinds, killed at any moment.
killed_at_random(_) ->
    ok = pool(2, 5),
    Rounds = py_ct:parallel(8, fun(I) ->
        rand:seed(exsss, {I, 2, 3}),
        [killed(lists:nth(rand:uniform(length(forms())), forms())) || _ <- lists:seq(1, 150)]
    end),
    ?assertEqual([], [Bad || Bad <- lists:append(Rounds), Bad =/= right]),
    empty(),
    ?assertMatch({ok, 1}, py:eval(?POOL, "1")).

killed(Form) ->
    {Pid, Mon} = spawn_monitor(fun() -> exit({result, Form()}) end),
    case rand:uniform(3) of
        1 -> ok;
        2 -> erlang:yield();
        3 -> timer:sleep(rand:uniform(3) - 1)
    end,
    exit(Pid, kill),
    receive
        {'DOWN', Mon, process, Pid, killed} -> right;
        {'DOWN', Mon, process, Pid, {result, {error, {overloaded, _, 5}}}} -> right;
        {'DOWN', Mon, process, Pid, {result, {error, _} = Error}} -> Error;
        {'DOWN', Mon, process, Pid, {result, _}} -> right
    end.
