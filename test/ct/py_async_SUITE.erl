%% SPDX-License-Identifier: Apache-2.0
%% @doc Coroutines on the event loop of a context.
-module(py_async_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CODE,
        "import asyncio, contextvars, os, threading, time, erlang\n"
        "log = []\n"
        "var = contextvars.ContextVar('var', default=0)\n"
        "async def value(v): return v\n"
        "async def after(s, v, *, k=0):\n"
        "    await asyncio.sleep(s)\n"
        "    return v + k\n"
        "async def fails(v): raise ValueError(v)\n"
        "async def long(name='long'):\n"
        "    log.append('begun')\n"
        "    try: await asyncio.sleep(3600)\n"
        "    finally: log.append(name)\n"
        "async def ask(name, *args): return await erlang.async_call(name, *args)\n"
        "async def ask_at_once(name, *args): return erlang.call(name, *args)\n"
        "async def set_var(v):\n"
        "    before = var.get()\n"
        "    var.set(v)\n"
        "    await asyncio.sleep(0.01)\n"
        "    return [before, var.get()]\n"
        "async def spread(n):\n"
        "    return await asyncio.gather(*(after(0.01, i) for i in range(n)))\n"
        "async def in_executor():\n"
        "    return await asyncio.get_running_loop().run_in_executor(None, lambda: 5)\n"
        "async def dies(): os.kill(os.getpid(), 9)\n"
        "def plain(v): return v\n"
        "def spawn():\n"
        "    return type(erlang.spawn_task(long('spawned'))).__module__\n").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [values, forms, message, errors, error_maps, references, plain_functions, beside_others,
     gather, gather_errors, gather_in_time, thousand, callbacks, callbacks_at_once,
     context_variables, timeout_cancels, await_in_vain, caller_dies, interrupts_do_not_reach,
     helper_dies, sys_exit, event_loop, event_loop_timeout, tasks, no_reply, bad_replies,
     large_values,
     inside_python, python_package, threads_stay, asyncio_run_in_a_request, contexts_apart,
     submit].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}]),
    ok = py:register_function(twice, fun([X]) -> 2 * X end),
    ok = py:register_function(fail, fun([]) -> error(on_purpose) end),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    C = py:context(1),
    ok = py:exec(C, ?CODE),
    [{context, C} | Config].

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:eventually(fun() -> ets:info(py_workers, size) =:= 0 end),
    C = py:context(1),
    py_ct:eventually(fun() -> pending(C) =:= 0 end).

pending(C) ->
    {ok, #{stats := Stats}} = py_context:info(C),
    maps:get(pending, Stats, 0).

context(Config) -> proplists:get_value(context, Config).

call(C, F, A) -> call(C, F, A, #{}).
call(C, F, A, Options) -> py:async_await(py:async_call(C, '__main__', F, A, Options)).

values(Config) ->
    C = context(Config),
    ?assertEqual({ok, 7}, call(C, value, [7])),
    ?assertEqual({ok, 7}, call(C, 'after', [0.01, 7])).

forms(Config) ->
    C = context(Config),
    ?assertEqual({ok, 8}, py:async_await(py:async_call(asyncio, sleep, [0, 8]))),
    ?assertEqual({ok, 8}, py:async_await(py:async_call(asyncio, sleep, [0],
                                                       #{result => 8}))),
    ?assertEqual({ok, 8}, py:async_await(py:async_call(asyncio, sleep, [0],
                                                       #{result => 8}, 5000))),
    ?assertEqual({ok, 8}, py:async_await(py:async_call(default, asyncio, sleep, [0, 8]))),
    ?assertEqual({ok, 8}, py:async_await(py:async_call(C, asyncio, sleep, [0, 8]), 5000)),
    ?assertEqual({ok, 3}, call(C, 'after', [0, 1], #{kwargs => #{k => 2}, timeout => 5000})),
    Bad = py:async_call(C, asyncio, sleep, x),
    ?assertEqual({error, {invalid, args, x}}, py:async_await(Bad)).

message(Config) ->
    C = context(Config),
    Ref = py:async_call(C, '__main__', 'after', [0.01, 5]),
    ?assertEqual({py_response, Ref, {ok, 5}}, receive Any -> Any end),
    Task = py_event_loop:create_task(C, '__main__', 'after', [0.01, 6]),
    ?assertEqual({async_result, Task, {ok, 6}}, receive Other -> Other end).

errors(Config) ->
    C = context(Config),
    ?assertEqual({error, {"ValueError", "no"}}, call(C, fails, [<<"no">>])),
    ?assertMatch({error, {"AttributeError", _}}, call(C, missing, [])),
    ?assertMatch({error, {"TypeError", _}}, call(C, value, [])),
    ok = py:exec(C, "async def an_object(): return object()"),
    ?assertMatch({error, {"EncodeError", _}}, call(C, an_object, [])).

error_maps(Config) ->
    {error, Story} = call(context(Config), fails, [<<"no">>], #{errors => map}),
    ?assertMatch(#{type := <<"ValueError">>, message := <<"no">>}, Story),
    ?assertNotEqual(nomatch, string:find(maps:get(traceback, Story), "in fails")).

references(Config) ->
    C = context(Config),
    {ok, Ref} = call(C, value, [[1, 2]], #{return => ref}),
    ?assertEqual({ok, [1, 2]}, py:to_term(Ref)),
    ok = py_context:release(Ref).

plain_functions(Config) ->
    C = context(Config),
    ?assertEqual({ok, 9}, call(C, plain, [9])),
    ?assertEqual({ok, 4.0}, py:async_await(py:async_call(C, math, sqrt, [16]))).

%% Requests are served, and coroutines end, while others are awaited.
beside_others(Config) ->
    C = context(Config),
    Long = py:async_call(C, '__main__', long, []),
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    ?assertEqual({ok, 7}, call(C, value, [7])),
    ?assertEqual({error, timeout}, py:async_await(Long, 0)).

gather(Config) ->
    C = context(Config),
    Calls = [{'__main__', 'after', [0.02, N]} || N <- lists:seq(1, 50)],
    ?assertEqual({ok, lists:seq(1, 50)}, py:async_gather(C, Calls)),
    ?assertEqual({ok, [3, 8]}, py:async_gather([{asyncio, sleep, [0, 3]},
                                                {asyncio, sleep, [0], #{result => 8}}])),
    ?assertEqual({ok, []}, py:async_gather([])),
    ?assertEqual({error, {invalid, calls, 7}}, py:async_gather(C, 7, 1000)).

gather_errors(Config) ->
    C = context(Config),
    Calls = [{'__main__', value, [1]}, {'__main__', fails, [<<"a">>]}, oops,
             {'__main__', fails, [<<"b">>]}],
    ?assertEqual({error, {gather_failed, [{2, {"ValueError", "a"}}, {3, {invalid, call, oops}},
                                          {4, {"ValueError", "b"}}]}},
                 py:async_gather(C, Calls)).

gather_in_time(Config) ->
    C = context(Config),
    Calls = [{'__main__', value, [1]} | [{'__main__', long, []} || _ <- lists:seq(1, 20)]],
    ?assertEqual({error, {gather_failed, [{N, timeout} || N <- lists:seq(2, 21)]}},
                 py:async_gather(C, Calls, 300)),
    py_ct:eventually(fun() ->
                             py:eval(C, "log.count('begun') == log.count('long')") =:= {ok, true}
                     end).

%% Each carries a number of its own: none is lost, none is another's.
thousand(Config) ->
    C = context(Config),
    Numbers = lists:seq(1, 1000),
    Refs = [{N, py:async_call(C, '__main__', 'after', [0.2, N])} || N <- Numbers],
    [?assertEqual({ok, N}, py:async_await(Ref)) || {N, Ref} <- lists:reverse(Refs)],
    Results = py_ct:parallel(20, fun(I) ->
                                         Calls = [{'__main__', value, [{I, N}]}
                                                  || N <- lists:seq(1, 50)],
                                         py:async_gather(C, Calls)
                                 end),
    ?assertEqual([{ok, [{I, N} || N <- lists:seq(1, 50)]} || I <- lists:seq(1, 20)], Results).

callbacks(Config) ->
    C = context(Config),
    Calls = [{'__main__', ask, [<<"twice">>, N]} || N <- lists:seq(1, 100)],
    ?assertEqual({ok, [2 * N || N <- lists:seq(1, 100)]}, py:async_gather(C, Calls)),
    ?assertMatch({error, {"ErlangError", "error: " ++ _}}, call(C, ask, [<<"fail">>])),
    ?assertMatch({error, {"NameError", _}}, call(C, ask, [<<"missing">>])).

callbacks_at_once(Config) ->
    C = context(Config),
    Calls = [{'__main__', ask_at_once, [<<"twice">>, N]} || N <- lists:seq(1, 20)],
    ?assertEqual({ok, [2 * N || N <- lists:seq(1, 20)]}, py:async_gather(C, Calls)).

%% What a coroutine sets is seen by itself alone.
context_variables(Config) ->
    C = context(Config),
    Calls = [{'__main__', set_var, [N]} || N <- lists:seq(1, 10)],
    ?assertEqual({ok, [[0, N] || N <- lists:seq(1, 10)]}, py:async_gather(C, Calls)),
    ok = py:exec(C, "token = var.set(99)"),
    ?assertEqual({ok, [99, 1]}, call(C, set_var, [1])),
    ok = py:exec(C, "var.reset(token)").

timeout_cancels(Config) ->
    C = context(Config),
    ?assertEqual({error, timeout}, call(C, long, [], #{timeout => 100})),
    ended(C, <<"long">>).

ended(C, Name) ->
    py_ct:eventually(fun() -> py:eval(C, "n in log", #{n => Name}) =:= {ok, true} end).

await_in_vain(Config) ->
    C = context(Config),
    Ref = py:async_call(C, '__main__', long, []),
    ?assertEqual({error, timeout}, py:async_await(Ref, 100)),
    ended(C, <<"long">>),
    ?assertEqual({error, {invalid, ref, Ref}}, py:async_await(Ref)).

caller_dies(Config) ->
    C = context(Config),
    {Pid, Mon} = spawn_monitor(fun() -> call(C, long, []) end),
    ended(C, <<"begun">>),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    ended(C, <<"long">>).

%% An interrupt is for what the main thread runs.
interrupts_do_not_reach(Config) ->
    C = context(Config),
    Ref = py:async_call(C, '__main__', 'after', [0.3, 5]),
    ?assertEqual({error, timeout}, py:call(C, time, sleep, [3600], 50)),
    ?assertEqual({ok, 5}, py:async_await(Ref)).

helper_dies(Config) ->
    C = context(Config),
    Refs = [py:async_call(C, '__main__', long, []) || _ <- lists:seq(1, 100)],
    ?assertMatch({error, {crashed, #{signal := sigkill}}}, call(C, dies, [])),
    [?assertMatch({error, {crashed, #{signal := sigkill}}}, py:async_await(R)) || R <- Refs],
    ok = py:exec(C, ?CODE),
    ?assertEqual({ok, 7}, call(C, value, [7])).

%% It ends the coroutine and no more.
sys_exit(Config) ->
    C = context(Config),
    ok = py:exec(C, "async def leave_exit(): raise SystemExit(3)\n"
                    "async def leave_interrupt(): raise KeyboardInterrupt\n"),
    Long = py:async_call(C, '__main__', 'after', [0.2, 1]),
    ?assertEqual({error, {"SystemExit", "3"}}, call(C, leave_exit, [])),
    ?assertEqual({error, {"KeyboardInterrupt", ""}}, call(C, leave_interrupt, [])),
    ?assertEqual({ok, 1}, py:async_await(Long)).

event_loop(Config) ->
    C = context(Config),
    ?assertEqual({ok, 3}, py_event_loop:run(asyncio, sleep, [0, 3])),
    ?assertEqual({ok, 3}, py_event_loop:run(asyncio, sleep, [0], #{kwargs => #{result => 3}})),
    ?assertEqual({ok, 3}, py_event_loop:run(asyncio, sleep, [0, 3], 1000)),
    ?assertEqual({ok, 3}, py_event_loop:run(C, asyncio, sleep, [0, 3])),
    ?assertEqual({ok, 3}, py_event_loop:run(C, asyncio, sleep, [0, 3], #{timeout => 1000})),
    ?assertEqual({error, {"ValueError", "x"}},
                 py_event_loop:run(C, '__main__', fails, [<<"x">>])).

event_loop_timeout(Config) ->
    C = context(Config),
    ?assertEqual({error, timeout}, py_event_loop:run(C, '__main__', long, [], 50)),
    ended(C, <<"long">>).

tasks(Config) ->
    C = context(Config),
    A = py_event_loop:create_task(C, '__main__', 'after', [0.1, 1]),
    B = py_event_loop:create_task(C, '__main__', 'after', [0.05, 2]),
    D = py_event_loop:create_task(C, '__main__', long, []),
    ?assertEqual({ok, 1}, py_event_loop:await(A)),
    ?assertEqual({ok, 2}, py_event_loop:await(B, 1000)),
    ?assertEqual({error, timeout}, py_event_loop:await(D, 50)),
    ended(C, <<"long">>).

%% Who waits at once has no message to do without.
bad_replies(_) ->
    Bad = fun(Reply) -> {error, {invalid, reply, Reply}} end,
    ?assertEqual(Bad(x), py:async_await(py:async_call(asyncio, sleep, [0], #{}, #{reply => x}))),
    ?assertEqual(Bad(x), py_event_loop:await(py_event_loop:create_task(asyncio, sleep, [0], #{},
                                                                      #{reply => x}))),
    ?assertEqual(Bad(false), py_event_loop:run(asyncio, sleep, [0], #{reply => false})).

no_reply(Config) ->
    C = context(Config),
    ok = py_event_loop:spawn_task(C, '__main__', 'log.append', [<<"plain">>]),
    ok = py_event_loop:spawn_task(C, '__main__', long, [<<"spawned">>]),
    ended(C, <<"plain">>),
    ended(C, <<"begun">>),
    %% Nobody waits for it, and nobody can end it but the end of the context.
    py_ct:eventually(fun() -> pending(C) =:= 1 end),
    ok = py:exec(C, "async def cancel_others():\n"
                    "    for task in asyncio.all_tasks() - {asyncio.current_task()}:\n"
                    "        task.cancel()\n"
                    "erlang.spawn_task(cancel_others())\n"),
    ended(C, <<"spawned">>).

large_values(Config) ->
    C = context(Config),
    Data = binary:copy(<<"0123456789abcdef">>, 1 bsl 16),
    ?assertEqual({ok, Data}, call(C, value, [Data])),
    Bytes = binary:copy(<<255>>, 3000000),
    Refs = [py:async_call(C, '__main__', value, [{bytes, Bytes}]) || _ <- lists:seq(1, 20)],
    [?assertEqual({ok, Bytes}, py:async_await(Ref)) || Ref <- Refs].

inside_python(Config) ->
    C = context(Config),
    ?assertEqual({ok, lists:seq(0, 99)}, call(C, spread, [100])),
    ?assertEqual({ok, 5}, call(C, in_executor, [])).

%% erlang.run, sleep and spawn_task, in a coroutine and elsewhere.
python_package(Config) ->
    C = context(Config),
    ok = py:exec(C, "async def nap():\n"
                    "    await erlang.sleep(0.01)\n"
                    "    t = erlang.spawn_task(value(4))\n"
                    "    return await t\n"),
    ?assertEqual({ok, 4}, call(C, nap, [])),
    ?assertEqual({ok, 4}, py:eval(C, "erlang.run(nap())")),
    ?assertEqual({ok, none}, py:eval(C, "erlang.sleep(0.01)")),
    ?assertEqual({ok, 6}, py:eval(C, "erlang.spawn_task(value(6)).result(10)")),
    ?assertEqual({ok, <<"concurrent.futures._base">>}, py:eval(C, "spawn()")),
    ended(C, <<"begun">>).

threads_stay(Config) ->
    C = context(Config),
    {ok, 1} = call(C, value, [1]),
    {ok, Before} = py:eval(C, "threading.active_count()"),
    {ok, _} = py:async_gather(C, [{'__main__', 'after', [0.01, N]} || N <- lists:seq(1, 500)]),
    ?assertEqual({ok, Before}, py:eval(C, "threading.active_count()")).

%% The context's loop is not in the way of loops that requests run.
asyncio_run_in_a_request(Config) ->
    C = context(Config),
    Long = py:async_call(C, '__main__', 'after', [0.2, 1]),
    ?assertEqual({ok, 7}, py:eval(C, "asyncio.run(value(7))")),
    ?assertEqual({ok, 8}, py:eval(C, "asyncio.run(ask('twice', 4))")),
    ?assertEqual({ok, 1}, py:async_await(Long)).

contexts_apart(Config) ->
    A = context(Config),
    {ok, B} = py_context:new(#{}),
    ok = py:exec(B, ?CODE),
    Long = py:async_call(B, '__main__', long, []),
    ?assertEqual({ok, 7}, call(A, value, [7])),
    ok = py_context:stop(B),
    ?assertMatch({error, {_, _}}, py:async_await(Long)),
    ?assertEqual({ok, 7}, call(A, value, [7])).

submit(Config) ->
    C = context(Config),
    Ref = py_context:submit(C, '__main__', 'after', [0.01, 3]),
    ?assertEqual({async_result, Ref, {ok, 3}}, receive Any -> Any end),
    With = py_context:submit(C, '__main__', 'after', [0.01, 3], #{k => 4}),
    ?assertEqual({ok, 7}, py_event_loop:await(With)),
    ?assertEqual({ok, 3}, py_context:submit_await(C, '__main__', 'after', [0.01, 3])),
    ?assertEqual({ok, 7}, py_context:submit_await(C, '__main__', 'after', [0.01, 3],
                                                  #{k => 4})),
    ?assertEqual({error, timeout}, py_context:submit_await(C, '__main__', long, [], #{}, 50)),
    ended(C, <<"long">>).
