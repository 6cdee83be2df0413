%% SPDX-License-Identifier: Apache-2.0
%% @doc The event loop of a context as a thing that is started and stopped.
-module(py_loop_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(STOPPED, {"CancelledError", "the event loop of the context was stopped"}).

-define(CODE,
        "import asyncio, os, threading, erlang\n"
        "log = []\n"
        "gate = threading.Event()\n"
        "async def value(v): return v\n"
        "async def long():\n"
        "    log.append('begun')\n"
        "    try: await asyncio.sleep(3600)\n"
        "    finally: log.append('ended')\n"
        "async def stubborn():\n"
        "    log.append('begun')\n"
        "    while True:\n"
        "        try: await asyncio.sleep(3600)\n"
        "        except asyncio.CancelledError: log.append('no')\n"
        "async def blocks():\n"
        "    log.append('begun')\n"
        "    gate.wait()\n"
        "async def ticks():\n"
        "    while True:\n"
        "        await asyncio.sleep(0)\n"
        "        yield 1\n"
        "async def kind(): return type(asyncio.get_running_loop()).__name__\n"
        "async def debug(): return asyncio.get_running_loop().get_debug()\n"
        "async def ident(): return threading.get_ident()\n"
        "async def child():\n"
        "    c = await asyncio.create_subprocess_exec(\n"
        "        '/bin/cat', stdin=-1, stdout=-1)\n"
        "    return (await c.communicate(b'through'))[0]\n"
        "def threads():\n"
        "    return [t.name for t in threading.enumerate()].count('erlang event loop')\n").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [start, start_options, what_it_is, subprocess, stop, stop_tells_waiters, stop_when_stubborn,
     stop_when_blocked, stop_ends_streams, again_and_again, spawned_while_it_stops, no_context].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}]),
    C = py:context(1),
    ok = py:exec(C, ?CODE),
    [{context, C} | Config].

end_per_testcase(_, _) ->
    py_ct:stop().

context(Config) -> proplists:get_value(context, Config).

threads(C) ->
    {ok, N} = py:call(C, '__main__', threads, []),
    N.

submit(C, F) -> py_context:submit(C, '__main__', F, []).

run(C, F) -> py_context:submit_await(C, '__main__', F, []).

begun(C) ->
    py_ct:eventually(fun() -> py:eval(C, "'begun' in log") =:= {ok, true} end).

start(Config) ->
    C = context(Config),
    ?assertEqual(0, threads(C)),
    ok = py_context:start_loop(C),
    ?assertEqual(1, threads(C)),
    {ok, Ident} = run(C, ident),
    ok = py_context:start_loop(C),
    ?assertEqual({ok, Ident}, run(C, ident)).

start_options(Config) ->
    C = context(Config),
    ok = py_context:start_loop(C, #{debug => true, timeout => 60000}),
    ?assertEqual({ok, true}, run(C, debug)),
    ok = py_context:start_loop(C),
    ?assertEqual({ok, true}, run(C, debug)),
    ok = py_context:start_loop(C, #{debug => false}),
    ?assertEqual({ok, false}, run(C, debug)),
    ?assertEqual({error, {invalid, debug, yes}}, py_context:start_loop(C, #{debug => yes})),
    ?assertEqual({error, {invalid, x, 1}}, py_context:start_loop(C, #{x => 1})),
    ?assertEqual({error, {invalid, options, []}}, py_context:start_loop(C, [])),
    ?assertEqual({error, {invalid, timeout, -1}}, py_context:stop_loop(C, -1)).

what_it_is(Config) ->
    C = context(Config),
    ?assertEqual({ok, <<"ErlangEventLoop">>}, run(C, kind)),
    ?assertEqual({ok, <<"ErlangEventLoop">>}, py:eval(C, "erlang.run(kind())")).

subprocess(Config) ->
    C = context(Config),
    ?assertEqual({ok, <<"through">>}, run(C, child)),
    ?assertEqual({ok, <<"through">>}, py:eval(C, "erlang.run(child())")).

stop(Config) ->
    C = context(Config),
    ok = py_context:stop_loop(C),
    {ok, First} = run(C, kind),
    ?assertEqual(1, threads(C)),
    ok = py_context:stop_loop(C),
    ?assertEqual(0, threads(C)),
    ?assertEqual({ok, First}, run(C, kind)),
    ?assertEqual(1, threads(C)).

stop_tells_waiters(Config) ->
    C = context(Config),
    Refs = [submit(C, long) || _ <- lists:seq(1, 50)],
    py_ct:eventually(fun() -> py:eval(C, "log.count('begun')") =:= {ok, 50} end),
    ok = py_context:stop_loop(C),
    [?assertEqual({error, ?STOPPED}, py_event_loop:await(Ref)) || Ref <- Refs],
    ?assertEqual({ok, 50}, py:eval(C, "log.count('ended')")),
    %% A fresh one cancels what Erlang gives up.
    ?assertEqual({error, timeout}, py_event_loop:run(C, '__main__', long, [], 100)),
    py_ct:eventually(fun() -> py:eval(C, "log.count('ended')") =:= {ok, 51} end).

stop_when_stubborn(Config) ->
    C = context(Config),
    Ref = submit(C, stubborn),
    begun(C),
    ok = py_context:stop_loop(C, 50),
    ?assertEqual({error, ?STOPPED}, py_event_loop:await(Ref)),
    ?assertEqual({ok, true}, py:eval(C, "'no' in log")),
    ?assertEqual(0, threads(C)).

stop_when_blocked(Config) ->
    C = context(Config),
    Ref = submit(C, blocks),
    begun(C),
    Behind = submit(C, long),
    ?assertEqual({error, blocked}, py_context:stop_loop(C, 10)),
    ?assertEqual({error, ?STOPPED}, py_event_loop:await(Ref)),
    ?assertEqual({error, ?STOPPED}, py_event_loop:await(Behind)),
    {ok, _} = run(C, kind),
    ?assertEqual(2, threads(C)),
    ok = py:exec(C, "gate.set()"),
    py_ct:eventually(fun() -> threads(C) =:= 1 end),
    ?assertEqual({ok, [<<"begun">>]}, py:eval(C, "log")),
    ?assertEqual({error, timeout}, py_event_loop:run(C, '__main__', long, [], 100)),
    py_ct:eventually(fun() -> py:eval(C, "'ended' in log") =:= {ok, true} end).

%% What is left of a stream is an error and not its end.
stop_ends_streams(Config) ->
    C = context(Config),
    {ok, Ref} = py:stream_start(C, '__main__', ticks, []),
    receive {py_stream, Ref, {data, 1}} -> ok end,
    ok = py_context:stop_loop(C),
    ?assertMatch({error, _}, last(Ref)).

last(Ref) ->
    receive
        {py_stream, Ref, {data, _}} -> last(Ref);
        {py_stream, Ref, Last} -> Last
    end.

again_and_again(Config) ->
    C = context(Config),
    Round = fun(N) ->
                    {ok, N} = py_context:submit_await(C, '__main__', value, [N]),
                    ok = py_context:stop_loop(C)
            end,
    Round(0),
    Fds = "len(os.listdir('/proc/self/fd'))",
    {ok, Before} = py:eval(C, Fds),
    lists:foreach(Round, lists:seq(1, 50)),
    ?assertEqual({ok, Before}, py:eval(C, Fds)),
    ?assertEqual(0, threads(C)).

%% A thread that hands coroutines over while the loop comes and goes gets each
%% value, or hears that there will be none.
spawned_while_it_stops(Config) ->
    C = context(Config),
    ok = py:exec(C, "import concurrent.futures as cf\n"
                    "ends = {'value': 0, 'cancelled': 0}\n"
                    "def hand_over():\n"
                    "    for n in range(2000):\n"
                    "        future = erlang.spawn_task(value(n))\n"
                    "        try:\n"
                    "            assert future.result(60) == n\n"
                    "            ends['value'] += 1\n"
                    "        except cf.CancelledError:\n"
                    "            ends['cancelled'] += 1\n"
                    "thread = threading.Thread(target=hand_over)\n"
                    "thread.start()\n"),
    stop_until_ended(C),
    ?assertEqual({ok, 2000}, py:eval(C, "sum(ends.values())")).

stop_until_ended(C) ->
    case py:eval(C, "thread.is_alive()") of
        {ok, true} ->
            ok = py_context:stop_loop(C),
            stop_until_ended(C);
        {ok, false} ->
            ok
    end.

no_context(_) ->
    {ok, C} = py_context:new(#{}),
    ok = py_context:stop(C),
    ?assertMatch({error, {context_died, _}}, py_context:start_loop(C)),
    ?assertMatch({error, {context_died, _}}, py_context:stop_loop(C)).
