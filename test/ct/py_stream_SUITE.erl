%% SPDX-License-Identifier: Apache-2.0
%% @doc What Python iterators yield.
-module(py_stream_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CODE,
        "import asyncio, os, time, erlang\n"
        "log = []\n"
        "made = 0\n"
        "def count(n, *, step=1):\n"
        "    try:\n"
        "        for i in range(0, n * step, step): yield i\n"
        "    finally: log.append('closed')\n"
        "async def count_later(n, *, step=1):\n"
        "    try:\n"
        "        for i in range(0, n * step, step): yield i\n"
        "    finally: log.append('closed')\n"
        "def endless(item=b'\\xff'):\n"
        "    global made\n"
        "    made = 0\n"
        "    try:\n"
        "        while True:\n"
        "            made += 1\n"
        "            yield item\n"
        "    finally: log.append('closed')\n"
        "async def aendless():\n"
        "    global made\n"
        "    made = 0\n"
        "    try:\n"
        "        while True:\n"
        "            made += 1\n"
        "            yield made\n"
        "    finally: log.append('closed')\n"
        "def stuck():\n"
        "    try:\n"
        "        yield 1\n"
        "        time.sleep(3600)\n"
        "    finally: log.append('closed')\n"
        "async def astuck():\n"
        "    try:\n"
        "        yield 1\n"
        "        await asyncio.sleep(3600)\n"
        "    finally: log.append('closed')\n"
        "def fails():\n"
        "    yield 1\n"
        "    yield 2\n"
        "    raise ValueError('no more')\n"
        "async def afails():\n"
        "    yield 1\n"
        "    yield 2\n"
        "    raise ValueError('no more')\n"
        "def strange():\n"
        "    yield from [1, 2, 3, object(), 5]\n"
        "def atoms():\n"
        "    yield from [1, erlang.Atom('surely no atom of this vm')]\n"
        "def asks():\n"
        "    for i in range(10): yield erlang.call('twice', i)\n"
        "async def aasks():\n"
        "    for i in range(10): yield await erlang.async_call('twice', i)\n"
        "def dies():\n"
        "    yield 1\n"
        "    os.kill(os.getpid(), 9)\n"
        "def refs():\n"
        "    import gc\n"
        "    gc.collect()\n"
        "    return sum(type(o).__name__ == 'Stream' for o in gc.get_objects())\n").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [collect, collect_forms, collect_async, collect_errors, collect_anything, collect_timeout,
     collector_dies, eval, events, forms, options, bad_options, events_async, events_errors,
     strange_items, large_items, slow_items_are_prompt, order_and_nothing_lost, back_pressure,
     back_pressure_with_a_full_mailbox, cancel, cancel_stuck, cancel_by_another, receiver_dies,
     receiver_dies_stuck, killed, helper_dies, context_stops, callbacks, many_at_once, fair].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}]),
    ok = py:register_function(twice, fun([X]) -> 2 * X end),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    C = py:context(1),
    ok = py:exec(C, ?CODE),
    [{context, C} | Config].

%% Nothing is left: no process, no message, no iterator.
end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()),
    py_ct:eventually(fun() -> ets:info(py_workers, size) =:= 0 end),
    Count = "refs() if 'refs' in globals() else 0",
    py_ct:eventually(fun() -> py:eval(py:context(1), Count) =:= {ok, 0} end).

context(Config) -> proplists:get_value(context, Config).

closed(C) ->
    py_ct:eventually(fun() -> py:eval(C, "log") =:= {ok, [<<"closed">>]} end).

%% What comes, to the end.
take(Ref) ->
    receive
        {py_stream, Ref, {data, Item}} ->
            {Items, End} = take(Ref),
            {[Item | Items], End};
        {py_stream, Ref, End} ->
            {[], End}
    end.

one(Ref) ->
    receive {py_stream, Ref, Event} -> Event end.

collect(Config) ->
    C = context(Config),
    ?assertEqual({ok, lists:seq(0, 9)}, py:stream(C, '__main__', count, [10])),
    closed(C),
    ?assertEqual({ok, lists:seq(0, 99999)}, py:stream(builtins, range, [100000])),
    ?assertEqual({ok, []}, py:stream('__main__', count, [0])).

collect_forms(Config) ->
    C = context(Config),
    ?assertEqual({ok, [0, 2]}, py:stream('__main__', count, [2], #{step => 2})),
    ?assertEqual({ok, [0, 2]}, py:stream('__main__', count, [2], #{step => 2}, 5000)),
    ?assertEqual({ok, [0, 2]}, py:stream(C, '__main__', count, [2],
                                         #{kwargs => #{step => 2}, timeout => 5000})),
    ?assertEqual({ok, [0, 1]}, py:stream(default, '__main__', count, [2])),
    ?assertEqual({error, {invalid, args, x}}, py:stream('__main__', count, x)),
    ?assertEqual({error, {no_pool, nowhere}}, py:stream(nowhere, '__main__', count, [2])).

collect_async(Config) ->
    C = context(Config),
    ?assertEqual({ok, lists:seq(0, 999)}, py:stream(C, '__main__', count_later, [1000])),
    closed(C),
    ?assertEqual({ok, [0, 2]}, py:stream(C, '__main__', count_later, [2],
                                         #{kwargs => #{step => 2}})).

collect_errors(Config) ->
    C = context(Config),
    [?assertEqual({error, {"ValueError", "no more"}}, py:stream(C, '__main__', F, []))
     || F <- [fails, afails]],
    ?assertMatch({error, {"EncodeError", _}}, py:stream(C, '__main__', strange, [])),
    ?assertMatch({error, {unknown_atom, _}}, py:stream(C, '__main__', atoms, [])),
    ?assertMatch({error, {"TypeError", _}}, py:stream(C, math, sqrt, [16])),
    ?assertMatch({error, #{type := <<"ValueError">>}},
                 py:stream(C, '__main__', fails, [], #{errors => map})).

collect_anything(Config) ->
    C = context(Config),
    ?assertEqual({ok, [1, 2]}, py:stream(C, builtins, list, [[1, 2]])),
    ?assertEqual({ok, [{0, <<"a">>}, {1, <<"b">>}]},
                 py:stream(C, builtins, enumerate, [<<"ab">>])),
    ?assertEqual({ok, [<<"k">>]}, py:stream(C, builtins, dict, [], #{kwargs => #{k => 1}})).

collect_timeout(Config) ->
    C = context(Config),
    [begin
         ok = py:exec(C, "log.clear()"),
         ?assertEqual({error, timeout}, py:stream(C, '__main__', F, [], 100)),
         closed(C)
     end || F <- [stuck, astuck, endless, aendless]].

collector_dies(Config) ->
    C = context(Config),
    {Pid, Mon} = spawn_monitor(fun() -> py:stream(C, '__main__', stuck, []) end),
    py_ct:eventually(fun() -> {ok, #{stats := S}} = py_context:info(C),
                              maps:get(pending, S) > 0 end),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    %% Until references are collected it is the next stream's start that shows.
    ok = py:exec(C, "import gc; gc.collect()").

eval(Config) ->
    C = context(Config),
    ?assertEqual({ok, [0, 1, 4]}, py:stream_eval("(x * x for x in range(3))")),
    ?assertEqual({ok, [0, 1, 4]}, py:stream_eval("(x * x for x in range(n))", #{n => 3})),
    ?assertEqual({ok, [0, 1]}, py:stream_eval(C, "count_later(2)")),
    ?assertEqual({ok, [0, 1]}, py:stream_eval(default, "count_later(2)")),
    ?assertMatch({error, {"TypeError", _}}, py:stream_eval("1")),
    ?assertMatch({error, {"SyntaxError", _}}, py:stream_eval("1 +")),
    ?assertEqual({error, {invalid, code, 1}}, py:stream_eval(1)).

events(Config) ->
    C = context(Config),
    {ok, Ref} = py:stream_start(C, '__main__', count, [3]),
    ?assertEqual({py_stream, Ref, {data, 0}}, receive A -> A end),
    ?assertEqual({py_stream, Ref, {data, 1}}, receive B -> B end),
    ?assertEqual({py_stream, Ref, {data, 2}}, receive D -> D end),
    ?assertEqual({py_stream, Ref, done}, receive E -> E end),
    closed(C).

forms(Config) ->
    C = context(Config),
    Two = fun({ok, Ref}) -> ?assertEqual({[0, 2], done}, take(Ref)) end,
    Two(py:stream_start(builtins, range, [0, 4, 2])),
    Two(py:stream_start('__main__', count, [2], #{kwargs => #{step => 2}})),
    Two(py:stream_start(C, builtins, range, [0, 4, 2])),
    Two(py:stream_start(default, builtins, range, [0, 4, 2])),
    Two(py:stream_start(C, '__main__', count, [2], #{kwargs => #{step => 2}, batch => 1})).

options(Config) ->
    C = context(Config),
    Self = self(),
    Pid = spawn_link(fun() -> receive go -> ok end, Self ! {self(), py_ct:mailbox()} end),
    {ok, Ref} = py:stream_start(C, '__main__', count, [2], #{owner => Pid, window => 1}),
    closed_or_waits(Pid, Ref),
    Pid ! go,
    receive {Pid, [{py_stream, Ref, {data, 0}} | _]} -> ok end.

%% The receiver does not read, so the stream stays within its window.
closed_or_waits(Pid, _) ->
    py_ct:eventually(fun() -> {_, N} = process_info(Pid, message_queue_len), N >= 1 end).

%% The process that asks is ended by a function that runs there.
killed(Config) ->
    C = context(Config),
    ok = py:register_function(py_stream_dies,
                              fun([]) -> exit(self(), kill), receive stop -> ok end end),
    ok = py:exec(C, "import erlang\ndef until_killed(): yield 1; erlang.call('py_stream_dies')"),
    {ok, Ref} = py:stream_start(C, '__main__', until_killed, []),
    ?assertEqual({[1], {error, {killed, killed}}}, take(Ref)),
    ?assertEqual([], ets:tab2list(py_workers)),
    ok = py:unregister_function(py_stream_dies).

bad_options(Config) ->
    C = context(Config),
    Start = fun(Options) -> py:stream_start(C, '__main__', count, [2], Options) end,
    ?assertEqual({error, {invalid, owner, me}}, Start(#{owner => me})),
    ?assertEqual({error, {invalid, window, 0}}, Start(#{window => 0})),
    ?assertEqual({error, {invalid, batch, x}}, Start(#{batch => x})),
    ?assertEqual({error, {invalid, colour, red}}, Start(#{colour => red})),
    ?assertEqual({error, {invalid, options, 100}}, Start(100)),
    ?assertEqual({error, {invalid, module, 1}}, py:stream_start(C, 1, count, [2])),
    ?assertEqual({error, {no_pool, nowhere}}, py:stream_start(nowhere, '__main__', count, [2])),
    ?assertEqual({error, {invalid, ref, x}}, py:stream_cancel(x)).

events_async(Config) ->
    C = context(Config),
    {ok, Ref} = py:stream_start(C, '__main__', count_later, [500]),
    ?assertEqual({lists:seq(0, 499), done}, take(Ref)),
    closed(C).

%% Errors come after the items that were there before them.
events_errors(Config) ->
    C = context(Config),
    [begin
         {ok, Ref} = py:stream_start(C, '__main__', F, []),
         ?assertEqual({[1, 2], {error, {"ValueError", "no more"}}}, take(Ref))
     end || F <- [fails, afails]],
    {ok, Missing} = py:stream_start(C, '__main__', missing, []),
    ?assertMatch({[], {error, {"AttributeError", _}}}, take(Missing)),
    {ok, No} = py:stream_start(C, math, sqrt, [16]),
    ?assertMatch({[], {error, {"TypeError", _}}}, take(No)).

%% Whatever is sent together, the items before one without a term arrive.
strange_items(Config) ->
    C = context(Config),
    [begin
         {ok, Ref} = py:stream_start(C, '__main__', strange, [], #{batch => Batch}),
         ?assertMatch({[1, 2, 3], {error, {"EncodeError", _}}}, take(Ref))
     end || Batch <- [1, 2, 32]],
    {ok, Atoms} = py:stream_start(C, '__main__', atoms, []),
    ?assertMatch({[1], {error, {unknown_atom, _}}}, take(Atoms)).

%% Together they would be larger than a frame may be.
large_items(_) ->
    {ok, C} = py_context:new(#{max_frame => 1 bsl 20}),
    ok = py:exec(C, "def large():\n"
                    "    for i in range(40): yield bytes([255]) * 300000\n"),
    {ok, Ref} = py:stream_start(C, '__main__', large, []),
    {Items, done} = take(Ref),
    ?assertEqual(lists:duplicate(40, 300000), [byte_size(I) || I <- Items]),
    ok = py_context:stop(C).

%% The first comes although the second never does.
slow_items_are_prompt(Config) ->
    C = context(Config),
    [begin
         {ok, Ref} = py:stream_start(C, '__main__', F, []),
         ?assertEqual({data, 1}, one(Ref)),
         ok = py:stream_cancel(Ref)
     end || F <- [stuck, astuck]].

order_and_nothing_lost(Config) ->
    C = context(Config),
    N = 20000,
    Results = py_ct:parallel(4, fun(I) ->
        {ok, Ref} = py:stream_start(C, builtins, range, [I * N, (I + 1) * N]),
        take(Ref)
    end),
    ?assertEqual([{lists:seq(I * N, (I + 1) * N - 1), done} || I <- lists:seq(1, 4)], Results).

%% Who does not read is not sent more than fits the window.
back_pressure(Config) ->
    C = context(Config),
    [begin
         {ok, Ref} = py:stream_start(C, '__main__', F, []),
         py_ct:eventually(fun() -> queue_length() >= 100 end),
         timer:sleep(200),
         ?assert(queue_length() =< 132),
         {ok, Made} = py:eval(C, "made"),
         ?assert(Made =< 140),
         [{data, _} = one(Ref) || _ <- lists:seq(1, 1000)],
         ok = py:stream_cancel(Ref)
     end || F <- [endless, aendless]].

queue_length() ->
    {_, N} = process_info(self(), message_queue_len),
    N.

%% What others have sent does not count.
back_pressure_with_a_full_mailbox(Config) ->
    C = context(Config),
    [self() ! {unrelated, N} || N <- lists:seq(1, 5000)],
    {ok, Ref} = py:stream_start(C, '__main__', endless, []),
    [{data, _} = one(Ref) || _ <- lists:seq(1, 500)],
    py_ct:eventually(fun() -> queue_length() >= 5100 end),
    timer:sleep(200),
    ?assert(queue_length() =< 5132),
    ok = py:stream_cancel(Ref),
    [receive {unrelated, N} -> ok end || N <- lists:seq(1, 5000)].

cancel(Config) ->
    C = context(Config),
    [begin
         ok = py:exec(C, "log.clear()"),
         {ok, Ref} = py:stream_start(C, '__main__', F, []),
         {data, _} = one(Ref),
         ok = py:stream_cancel(Ref),
         ?assertEqual({ok, [<<"closed">>]}, py:eval(C, "log")),
         ?assertEqual([], py_ct:mailbox()),
         ok = py:stream_cancel(Ref)
     end || F <- [endless, aendless]].

%% Also where it waits for something in the middle.
cancel_stuck(Config) ->
    C = context(Config),
    [begin
         ok = py:exec(C, "log.clear()"),
         {ok, Ref} = py:stream_start(C, '__main__', F, []),
         {data, 1} = one(Ref),
         ok = py:stream_cancel(Ref),
         ?assertEqual({ok, [<<"closed">>]}, py:eval(C, "log"))
     end || F <- [stuck, astuck]].

cancel_by_another(Config) ->
    C = context(Config),
    {ok, Ref} = py:stream_start(C, '__main__', endless, []),
    {data, _} = one(Ref),
    [ok] = py_ct:parallel(1, fun(_) -> py:stream_cancel(Ref) end),
    closed(C),
    ok = py:stream_cancel(Ref),
    ok = py:stream_cancel(make_ref()).

receiver_dies(Config) -> receiver_dies(context(Config), [endless, aendless]).

receiver_dies_stuck(Config) -> receiver_dies(context(Config), [stuck, astuck]).

receiver_dies(C, Functions) ->
    [begin
         ok = py:exec(C, "log.clear()"),
         [ok] = py_ct:parallel(1, fun(_) ->
             {ok, Ref} = py:stream_start(C, '__main__', F, []),
             {data, _} = one(Ref),
             ok
         end),
         closed(C)
     end || F <- Functions].

helper_dies(Config) ->
    C = context(Config),
    {ok, Ref} = py:stream_start(C, '__main__', dies, []),
    ?assertMatch({[1], {error, {crashed, #{signal := sigkill}}}}, take(Ref)).

context_stops(_) ->
    {ok, C} = py_context:new(#{}),
    ok = py:exec(C, ?CODE),
    {ok, Ref} = py:stream_start(C, '__main__', astuck, []),
    {data, 1} = one(Ref),
    ok = py_context:stop(C),
    ?assertMatch({error, _}, one(Ref)),
    {ok, Late} = py:stream_start(C, '__main__', astuck, []),
    ?assertEqual({error, {context_died, noproc}}, one(Late)).

callbacks(Config) ->
    C = context(Config),
    Twice = [2 * I || I <- lists:seq(0, 9)],
    [begin
         ?assertEqual({ok, Twice}, py:stream(C, '__main__', F, [])),
         {ok, Ref} = py:stream_start(C, '__main__', F, []),
         ?assertEqual({Twice, done}, take(Ref))
     end || F <- [asks, aasks]].

many_at_once(Config) ->
    C = context(Config),
    Refs = [begin {ok, R} = py:stream_start(C, '__main__', F, [50]), R end
            || F <- [count, count_later], _ <- lists:seq(1, 20)],
    [?assertEqual({lists:seq(0, 49), done}, take(R)) || R <- Refs].

%% Calls take their turn while a stream runs.
fair(Config) ->
    C = context(Config),
    Reader = spawn_link(fun() ->
        {ok, Ref} = py:stream_start(C, '__main__', endless, []),
        read(Ref)
    end),
    [?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16], #{timeout => 20000}))
     || _ <- lists:seq(1, 200)],
    Reader ! stop,
    closed(C).

read(Ref) ->
    receive
        stop -> ok = py:stream_cancel(Ref);
        {py_stream, Ref, {data, _}} -> read(Ref)
    end.
