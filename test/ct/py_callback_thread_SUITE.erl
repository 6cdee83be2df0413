%% SPDX-License-Identifier: Apache-2.0
%% @doc Callbacks from Python's threads, from executors and from coroutines.
-module(py_callback_thread_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-import(py_callback_SUITE, [context/1, gate/0, entered/1, start/1, outcome/1]).

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [while_nothing_runs, process_of_its_own, executor, large_values, thread_errors,
     requests_go_on, first_thread_while_idle, nested_from_a_thread, nested_wakes_the_main_thread,
     cancel_read_by_a_thread, thread_that_exits, gather, coroutines_go_on, coroutine_errors,
     coroutine_order, nested_from_a_coroutine, coroutine_is_ended, buried_under_a_nested_one,
     cancelled_tasks, loop_in_a_thread, thousand_coroutines].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}, {restart, #{free => 1000}}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, C} = py_context:new(#{}),
    ok = py:exec(C, "import asyncio, erlang, threading, time\n"
                    "from concurrent.futures import ThreadPoolExecutor\n"
                    "def threads(n, f):\n"
                    "    t = [threading.Thread(target=f, args=(i,)) for i in range(n)]\n"
                    "    for each in t: each.start()\n    return t\n"
                    "def join(t):\n    for each in t: each.join()\n"
                    "out = []"),
    ok = py:register_function(echo, fun([X]) -> X end),
    ok = py:register_function(nap, fun([Ms]) -> timer:sleep(Ms), Ms end),
    [{context, C} | Config].

end_per_testcase(_, Config) ->
    C = context(Config),
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    ok = py_context:stop(C),
    ?assertEqual([], py_ct:mailbox()),
    [ok = py:unregister_function(F) || F <- py_callback:registered()].

%%% Threads

%% No request runs, and the VM waits for nothing.
while_nothing_runs(Config) ->
    C = context(Config),
    ok = py:exec(C, "def work(i):\n    time.sleep(0.3)\n"
                    "    for k in range(50):\n        out.append(erlang.echo((i, k)))\n"
                    "        time.sleep(0.01)\nt = threads(2, work)"),
    Done = counters:new(1, []),
    ok = py:register_function(done, fun([N]) -> counters:put(Done, 1, N) end),
    ok = py:exec(C, "def watch(i):\n    join(t)\n    erlang.done(len(out))\nw = threads(1, watch)"),
    py_ct:eventually(fun() -> counters:get(Done, 1) =:= 100 end),
    Check = "sorted(out) == [(i, k) for i in (0, 1) for k in range(50)]",
    ?assertEqual({ok, true}, py:eval(C, Check)).

process_of_its_own(Config) ->
    C = context(Config),
    Look = fun([]) -> {self(), py_callback:context(), py_callback:in_request()} end,
    ok = py:register_function(look, Look),
    ok = py:exec(C, "join(threads(1, lambda i: out.append(erlang.look())))"),
    {ok, [{Pid, C, false}]} = py:eval(C, "out"),
    ?assertNotEqual(self(), Pid).

executor(Config) ->
    C = context(Config),
    ok = py:exec(C, "def work(n):\n    with ThreadPoolExecutor(8) as ex:\n"
                    "        return list(ex.map(erlang.echo, range(n)))"),
    [?assertEqual({ok, lists:seq(0, 299)}, py:call(C, '__main__', work, [300]))
     || _ <- lists:seq(1, 5)].

large_values(Config) ->
    C = context(Config),
    ok = py:exec(C, "def work(i):\n    v = [i, bytes([i]) * (1 << 20), 'y' * 200000]\n"
                    "    out.append(erlang.echo(v) == [i, bytes([i]) * (1 << 20), 'y' * 200000]"
                    " or i < 128)"),
    ok = py:exec(C, "join(threads(8, lambda i: work(i + 200)))"),
    ?assertEqual({ok, [true || _ <- lists:seq(1, 8)]}, py:eval(C, "out")).

thread_errors(Config) ->
    C = context(Config),
    ok = py:register_function(fail, fun([X]) -> error({bad, X}) end),
    ok = py:exec(C, "def work(i):\n    for f in (erlang.fail, erlang.nobody, erlang.echo):\n"
                    "        try: f(object() if f == erlang.echo else i)\n"
                    "        except Exception as e: out.append((type(e).__name__, str(e)))\n"
                    "join(threads(1, work))"),
    {ok, [{<<"ErlangError">>, <<"error: (Atom('bad'), 0)">>}, {<<"NameError">>, Name},
          {<<"EncodeError">>, _}]} = py:eval(C, "out"),
    ?assert(binary:match(Name, <<"'nobody'">>) =/= nomatch).

%% Threads wait in functions, and calls are answered; busy Python or not.
requests_go_on(Config) ->
    C = context(Config),
    ok = gate(),
    ok = py:exec(C, "t = threads(4, lambda i: out.append(erlang.gate(i)))"),
    Pids = [entered(I) || I <- lists:seq(0, 3)],
    ?assertEqual([{ok, I} || I <- lists:seq(1, 200)],
                 py_ct:parallel(200, fun(I) -> py:eval(C, "erlang.echo(x)", #{x => I}) end)),
    Busy = start(fun() -> py:eval(C, "sum(i for i in range(10 ** 6))") end),
    [Pid ! {go, I, I} || {I, Pid} <- lists:zip(lists:seq(0, 3), Pids)],
    ?assertEqual({ok, 499999500000}, outcome(Busy)),
    ok = py:exec(C, "join(t)"),
    ?assertEqual({ok, [0, 1, 2, 3]}, py:eval(C, "sorted(out)")).

%% The main thread sleeps already when the first thread begins to wait; what that
%% one reads may be the main thread's.
first_thread_while_idle(_) ->
    [begin
         {ok, C} = py_context:new(#{}),
         ok = py:exec(C, "import erlang, threading, time\ndef work():\n    time.sleep(0.12)\n"
                         "    for i in range(300): erlang.echo(i)\n"
                         "t = threading.Thread(target=work)\nt.start()"),
         timer:sleep(110),
         [?assertEqual({ok, I}, py:eval(C, "x", #{x => I})) || I <- lists:seq(1, 300)],
         ok = py:exec(C, "t.join()"),
         ok = py_context:stop(C)
     end || _ <- lists:seq(1, 5)].

nested_from_a_thread(Config) ->
    C = context(Config),
    ok = py:register_function(nest, fun([X]) -> {ok, V} = py:eval(C, "x + 1", #{x => X}), V end),
    ok = py:exec(C, "t = threads(8, lambda i: [out.append(erlang.nest(i)) for _ in range(50)])"),
    py_ct:eventually(fun() -> py:eval(C, "len(out)") =:= {ok, 400} end),
    ok = py:exec(C, "join(t)"),
    ?assertEqual({ok, lists:seq(1, 8)}, py:eval(C, "sorted(set(out))")).

%% Many wait below, so others are held back, and one of them is in the queue: a
%% nested request that a thread reads must wake the main thread all the same.
nested_wakes_the_main_thread(Config) ->
    C = context(Config),
    ok = py:register_function(down, fun([0]) ->
                                            timer:sleep(30),
                                            [py:eval(C, "1") || _ <- lists:seq(1, 300)],
                                            bottom;
                                       ([N]) ->
                                            {ok, V} = py:eval(C, "erlang.down(n)", #{n => N - 1}),
                                            V
                                    end),
    ok = py:exec(C, "stop = False\ndef work(i):\n    while not stop: erlang.echo(i)\n"
                    "t = threads(3, work)"),
    A = start(fun() -> py:eval(C, "erlang.down(80)") end),
    B = [start(fun() -> py:eval(C, "'b'") end) || _ <- lists:seq(1, 3)],
    ?assertEqual({ok, <<"bottom">>}, begin {ok, V} = outcome(A), {ok, atom_to_binary(V)} end),
    [?assertEqual({ok, <<"b">>}, outcome(Each)) || Each <- B],
    ok = py:exec(C, "stop = True\njoin(t)").

%% The main thread sleeps in a call; that its time is up is read by whoever reads.
cancel_read_by_a_thread(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    ok = py:exec(C, "stop = False\ndef work(i):\n    while not stop: erlang.echo(i)\n"
                    "t = threads(3, work)"),
    [?assertEqual({error, timeout},
                  py:call(C, erlang, call, [<<"nap">>, 30], #{timeout => 20}))
     || _ <- lists:seq(1, 30)],
    ok = py:exec(C, "stop = True\njoin(t)"),
    ?assertEqual(Os, py_ct:helper_pid(C)).

thread_that_exits(Config) ->
    C = context(Config),
    ok = py:register_function(leave, fun([_]) -> exit(normal) end),
    ok = py:exec(C, "import sys\ndef work(i):\n    try: erlang.leave(i)\n"
                    "    except erlang.ErlangError as e:\n        out.append(e.kind)\n"
                    "        sys.exit()\njoin(threads(4, work))"),
    ?assertEqual({ok, [<<"exit">> || _ <- [1, 2, 3, 4]]}, py:eval(C, "out")).

%%% Coroutines

gather(Config) ->
    C = context(Config),
    ok = py:exec(C, "async def main(n):\n"
                    "    return await asyncio.gather(*[erlang.async_call('echo', i)"
                    " for i in range(n)])\n"
                    "def work(n): return asyncio.run(main(n))"),
    [?assertEqual({ok, lists:seq(0, 99)}, py:call(C, '__main__', work, [100]))
     || _ <- lists:seq(1, 10)].

%% A thousand at once that all wait.
thousand_coroutines(Config) ->
    C = context(Config),
    ok = py:exec(C, "async def main(n):\n"
                    "    return await asyncio.gather(*[erlang.async_call('nap', 200)"
                    " for i in range(n)])\n"
                    "def work(n): return len(asyncio.run(main(n)))"),
    ?assertEqual({ok, 1000}, py:call(C, '__main__', work, [1000])).

coroutines_go_on(Config) ->
    C = context(Config),
    ok = gate(),
    ok = py:exec(C, "async def tick():\n    for i in range(20):\n"
                    "        out.append(i)\n        await asyncio.sleep(0.001)\n"
                    "    await erlang.async_call('ready')\n"
                    "async def main():\n"
                    "    g = erlang.async_call('gate', 'a')\n"
                    "    return (await asyncio.gather(g, tick()))[0]\n"),
    Self = self(),
    ok = py:register_function(ready, fun([]) -> Self ! ready end),
    A = start(fun() -> py:eval(C, "[asyncio.run(main()), len(out)]") end),
    InA = entered(<<"a">>),
    receive ready -> ok end,
    InA ! {go, <<"a">>, 7},
    ?assertEqual({ok, [7, 20]}, outcome(A)).

coroutine_errors(Config) ->
    C = context(Config),
    ok = py:register_function(fail, fun([X]) -> exit({bad, X}) end),
    ok = py:exec(C, "async def one(name, *args):\n    try: await erlang.async_call(name, *args)\n"
                    "    except Exception as e: out.append((type(e).__name__, str(e)))\n"
                    "async def main():\n    await one('fail', 1)\n    await one('nobody')\n"
                    "    await one('echo', object())\n"
                    "    return await erlang.async_call('echo', 5)"),
    ?assertEqual({ok, 5}, py:eval(C, "asyncio.run(main())")),
    {ok, [{<<"ErlangError">>, <<"exit: (Atom('bad'), 1)">>}, {<<"NameError">>, Name},
          {<<"EncodeError">>, _}]} = py:eval(C, "out"),
    ?assert(binary:match(Name, <<"'nobody'">>) =/= nomatch).

%% Each waits for the one before it.
coroutine_order(Config) ->
    C = context(Config),
    Self = self(),
    ok = py:register_function(note, fun([N]) -> Self ! {note, N}, N end),
    ok = py:exec(C, "async def main():\n    for i in range(200):\n"
                    "        await erlang.async_call('note', i)"),
    ok = py:exec(C, "asyncio.run(main())"),
    [receive {note, I} -> ok after 0 -> ct:fail({missing, I}) end || I <- lists:seq(0, 199)].

%% The loop of the main thread runs what the function asks for.
nested_from_a_coroutine(Config) ->
    C = context(Config),
    Nest = fun([X]) -> {ok, V} = py:eval(C, "deeper(x)", #{x => X}), V end,
    ok = py:register_function(nest, Nest),
    ok = py:exec(C, "def deeper(x): return erlang.echo(x) + 1\n"
                    "async def main(n):\n"
                    "    return await asyncio.gather(*[erlang.async_call('nest', i)"
                    " for i in range(n)])\n"
                    "def work(n): return asyncio.run(main(n))"),
    [?assertEqual({ok, lists:seq(1, 50)}, py:call(C, '__main__', work, [50]))
     || _ <- lists:seq(1, 5)].

coroutine_is_ended(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    ok = gate(),
    ok = py:exec(C, "async def main():\n    try:\n        await erlang.async_call('gate', 'a')\n"
                    "    except BaseException as e:\n        out.append(type(e).__name__)\n"
                    "        raise"),
    A = start(fun() -> py:exec(C, "asyncio.run(main())", 200) end),
    InA = entered(<<"a">>),
    ?assertEqual({error, timeout}, outcome(A)),
    {ok, [_]} = py:eval(C, "out"),
    InA ! {go, <<"a">>, 1},
    ?assertEqual(Os, py_ct:helper_pid(C)).

%% Its time is up while a nested request runs on top of its loop.
buried_under_a_nested_one(Config) ->
    C = context(Config),
    Os = py_ct:helper_pid(C),
    ok = gate(),
    ok = py:register_function(nest, fun([]) -> py:eval(C, "[erlang.gate('n'), 3][1]") end),
    ok = py:exec(C, "async def main():\n    await erlang.async_call('nest')\n"
                    "    await asyncio.sleep(60)"),
    A = start(fun() -> py:exec(C, "try:\n    asyncio.run(main())\nexcept BaseException as e:\n"
                                  "    out.append(type(e).__name__)\n    raise", 300) end),
    InN = entered(<<"n">>),
    ?assertEqual({error, timeout}, outcome(A)),
    InN ! {go, <<"n">>, 1},
    %% A request of ours may run on top as well, before that answer is there.
    py_ct:eventually(fun() -> py:eval(C, "out") =:= {ok, [<<"KeyboardInterrupt">>]} end),
    ?assertEqual(Os, py_ct:helper_pid(C)).

%% Nobody waits for the answer any more; others do.
cancelled_tasks(Config) ->
    C = context(Config),
    ok = py:exec(C, "async def main():\n"
                    "    t = [asyncio.create_task(erlang.async_call('nap', 50))"
                    " for _ in range(20)]\n"
                    "    await asyncio.sleep(0)\n    for each in t[::2]: each.cancel()\n"
                    "    r = await asyncio.gather(*t, return_exceptions=True)\n"
                    "    return [type(x).__name__ for x in r]"),
    ?assertEqual({ok, lists:append([[<<"CancelledError">>, <<"int">>] || _ <- lists:seq(1, 10)])},
                 py:eval(C, "asyncio.run(main())")),
    ok = py:exec(C, "async def late():\n"
                    "    asyncio.create_task(erlang.async_call('nap', 50))\n"
                    "    await asyncio.sleep(0.01)\nasyncio.run(late())"),
    timer:sleep(100).

loop_in_a_thread(Config) ->
    C = context(Config),
    ok = py:exec(C, "async def main(i):\n"
                    "    out.extend(await asyncio.gather(*[erlang.async_call('echo', i)"
                    " for _ in range(25)]))\n"
                    "t = threads(4, lambda i: asyncio.run(main(i)))"),
    ok = py:exec(C, "join(t)"),
    ?assertEqual({ok, [25, 25, 25, 25]}, py:eval(C, "[out.count(i) for i in range(4)]")).
