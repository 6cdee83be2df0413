%% SPDX-License-Identifier: Apache-2.0
%% @doc Messages from Python to Erlang processes, and watching these.
-module(py_message_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [destinations, values, order, many_receivers, threads, outside_of_requests, from_a_callback,
     dead_receivers, names_come_and_go, noticed_in_a_loop, noticed_by_a_thread,
     noticed_as_the_time_is_up, unknown_atoms, no_new_atoms, a_slow_courier,
     a_slow_courier_and_large_messages, sent_before_the_end,
     a_flood_that_is_killed, self_and_whereis, monitors, monitors_wait, monitors_end,
     too_many_monitors, waits_end_with_the_helper, large_messages, no_leaks].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}, {stop_timeout, 2000}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, C} = py_context:new(#{restart => #{free => 1000}}),
    ok = py:exec(C, "import erlang, threading, time"),
    [{context, C} | Config].

end_per_testcase(_, Config) ->
    ok = py_context:stop(proplists:get_value(context, Config)),
    ?assertEqual([], py_ct:mailbox()).

context(Config) ->
    proplists:get_value(context, Config).

send(C, Dest, Term) ->
    py:eval(C, "erlang.send(d, t)", #{d => Dest, t => Term}).

get_message() ->
    receive M -> M after 20000 -> ct:fail(no_message) end.

destinations(Config) ->
    C = context(Config),
    true = register(py_message_test, self()),
    Dests = [self(), py_message_test, <<"py_message_test">>, {py_message_test, node()},
             {<<"py_message_test">>, atom_to_binary(node())}],
    [begin
         ?assertEqual({ok, none}, send(C, D, {N, D})),
         ?assertEqual({N, D}, get_message())
     end || {N, D} <- lists:enumerate(Dests)],
    ?assertEqual({ok, none}, py:eval(C, "erlang.reply(d, 1)", #{d => self()})),
    ?assertEqual(1, get_message()),
    [?assertMatch({error, {"TypeError", _}}, send(C, D, 1)) || D <- [1, 1.5, {a, b, c}]],
    [?assertMatch({error, {"ProcessError", _}}, send(C, D, 1))
     || D <- [<<"no such name 1">>, {<<"no such name 2">>, node()},
              {py_message_test, <<"no@where">>},
              {py_message_test, 'no@where'}, py_no_such_process]],
    ?assertMatch({error, {"TypeError", _}}, send(C, [self()], 1)),
    ?assertMatch({error, {"EncodeError", _}},
                 py:eval(C, "erlang.send(d, object())", #{d => self()})),
    true = unregister(py_message_test).

values(Config) ->
    C = context(Config),
    [begin
         {ok, none} = send(C, self(), V),
         ?assertEqual(V, get_message())
     end || V <- [1, 1 bsl 100, 1.5, <<>>, <<255>>, atom, none, true, {}, {a, [b, <<"c">>]}, [],
                  [1 | 2], #{1 => #{}}, self(), make_ref(), <<1:3>>]].

%% Of many messages to one receiver none is lost, none comes twice, and they
%% keep their order, also among two receivers.
order(Config) ->
    C = context(Config),
    N = 100000,
    ok = py:exec(C, "def flood(a, b, n):\n"
                    "    for i in range(n):\n"
                    "        erlang.send(a if i % 3 else b, i)\n"),
    Self = self(),
    Other = spawn_link(fun() ->
                               Threes = [I || I <- lists:seq(0, N - 1), I rem 3 =:= 0],
                               Self ! {other, collect(Threes)}
                       end),
    {ok, none} = py:call(C, '__main__', flood, [self(), Other, N]),
    ok = collect([I || I <- lists:seq(0, N - 1), I rem 3 > 0]),
    ?assertEqual({other, ok}, get_message()),
    {ok, #{stats := #{sends := N}}} = py_context:info(C).

collect([]) ->
    ok;
collect([I | Rest]) ->
    receive
        J when is_integer(J) -> ?assertEqual(I, J), collect(Rest)
    after 20000 -> {missing, I}
    end.

%% More than are remembered: the oldest are forgotten, and introduced again.
many_receivers(Config) ->
    C = context(Config),
    Self = self(),
    Pids = [spawn_link(fun() -> forward(Self, I) end) || I <- lists:seq(1, 3000)],
    ok = py:exec(C, "def all(pids):\n"
                    "    for n in range(2):\n"
                    "        for p in pids: erlang.send(p, n)\n"
                    "    return len(erlang._messages._known), len(erlang._messages._watched)\n"),
    ?assertEqual({ok, {1024, 1024}}, py:call(C, '__main__', all, [Pids])),
    Got = [get_message() || _ <- Pids, _ <- [0, 1]],
    ?assertEqual(lists:sort([{I, N} || I <- lists:seq(1, 3000), N <- [0, 1]]), lists:sort(Got)),
    [begin unlink(P), exit(P, kill) end || P <- Pids],
    Left = "erlang._bridge._look() or len(erlang._messages._watched)",
    py_ct:eventually(fun() -> py:eval(C, Left) =:= {ok, 0} end).

forward(To, I) ->
    receive N -> To ! {I, N}, forward(To, I) end.

threads(Config) ->
    C = context(Config),
    ok = py:exec(C, "def run(pid, count, n):\n"
                    "    def work(t):\n"
                    "        for i in range(n): erlang.send(pid, (t, i))\n"
                    "    ts = [threading.Thread(target=work, args=(t,)) for t in range(count)]\n"
                    "    [t.start() for t in ts]\n"
                    "    [t.join() for t in ts]\n"),
    {ok, none} = py:call(C, '__main__', run, [self(), 8, 1000]),
    ?assertEqual({ok, 1}, py:eval(C, "len(erlang._messages._watched)")),
    [ok = collect(T, lists:seq(0, 999)) || T <- lists:seq(0, 7)].

collect(_, []) ->
    ok;
collect(T, [I | Rest]) ->
    receive
        {T, J} -> ?assertEqual(I, J), collect(T, Rest)
    after 20000 -> {missing, T, I}
    end.

%% A thread that goes on when no request runs, and nothing else happens.
outside_of_requests(Config) ->
    C = context(Config),
    ok = py:exec(C, "def later(pid):\n"
                    "    def work():\n"
                    "        go.wait()\n"
                    "        time.sleep(0.2)\n"
                    "        erlang.send(pid, ('self', erlang.self()))\n"
                    "        for i in range(2000): erlang.send(pid, ('x' * 200, i))\n"
                    "        erlang.send(pid, 'end')\n"
                    "    global go; go = threading.Event()\n"
                    "    threading.Thread(target=work).start()\n"),
    {ok, none} = py:call(C, '__main__', later, [self()]),
    {ok, none} = py:eval(C, "go.set()"),
    ?assertEqual({<<"self">>, C}, get_message()),
    ok = collect(binary:copy(<<"x">>, 200), lists:seq(0, 1999)),
    ?assertEqual(<<"end">>, get_message()).

from_a_callback(Config) ->
    C = context(Config),
    ok = py:register_function(message_test,
                              fun([I]) -> {ok, none} = send(C, self(), {inner, I}), I end),
    {ok, none} = py:eval(C, "[erlang.send(d, ('outer', erlang.message_test(i))) for i in range(50)]"
                            " and None", #{d => self()}),
    ok = collect(inner, lists:seq(0, 49)),
    ok = collect(<<"outer">>, lists:seq(0, 49)),
    ok = py:unregister_function(message_test).

dead_receivers(Config) ->
    C = context(Config),
    {Dead, Mon} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    ?assertMatch({error, {"ProcessError", _}}, send(C, Dead, 1)),
    ?assertMatch({error, {"ProcessError", _}}, send(C, Dead, 1)),
    {Pid, Mon2} = spawn_monitor(fun() -> receive stop -> ok end end),
    {ok, none} = send(C, Pid, ignored),
    {ok, none} = send(C, Pid, stop),
    receive {'DOWN', Mon2, process, _, _} -> ok end,
    py_ct:eventually(fun() -> element(1, send(C, Pid, 1)) =:= error end),
    ?assertMatch({error, {"ProcessError", "there is no process" ++ _}}, send(C, Pid, 1)).

%% A name means whoever has it.
names_come_and_go(Config) ->
    C = context(Config),
    Self = self(),
    Name = py_message_name,
    Start = fun() ->
                    P = spawn(fun() -> forward(Self, Name) end),
                    true = register(Name, P),
                    P
            end,
    A = Start(),
    {ok, none} = send(C, Name, 1),
    ?assertEqual({Name, 1}, get_message()),
    exit(A, kill),
    py_ct:eventually(fun() -> element(1, send(C, Name, lost)) =:= error end),
    B = Start(),
    {ok, none} = send(C, Name, 2),
    ?assertEqual({Name, 2}, get_message()),
    %% It changes hands without a death: the next owner gets it.
    true = unregister(Name),
    true = register(Name, self()),
    {ok, none} = send(C, Name, 3),
    ?assertEqual(3, get_message()),
    true = unregister(Name),
    py_ct:eventually(fun() -> element(1, send(C, Name, lost)) =:= error end),
    exit(B, kill).

%% Code that only sends hears of it as well.
noticed_in_a_loop(Config) ->
    C = context(Config),
    {Pid, Mon} = spawn_monitor(fun() -> receive go -> ok end end),
    Loop = "def loop(pid):\n"
           "    erlang.send(pid, erlang.atom('go'))\n"
           "    while True: erlang.send(pid, 'more')\n",
    ok = py:exec(C, Loop),
    ?assertMatch({error, {"ProcessError", _}}, py:call(C, '__main__', loop, [Pid])),
    receive {'DOWN', Mon, process, _, _} -> ok end.

%% And so does a thread, while the main thread does not read.
noticed_by_a_thread(Config) ->
    C = context(Config),
    {Pid, Mon} = spawn_monitor(fun() -> receive go -> ok end end),
    Code = "def run(pid):\n"
           "    got = []\n"
           "    def work():\n"
           "        try:\n"
           "            erlang.send(pid, erlang.atom('go'))\n"
           "            while True: erlang.send(pid, 'more')\n"
           "        except erlang.ProcessError as e: got.append(type(e).__name__)\n"
           "    t = threading.Thread(target=work)\n"
           "    t.start()\n"
           "    t.join()\n"
           "    return got\n",
    ok = py:exec(C, Code),
    ?assertEqual({ok, [<<"ProcessError">>]}, py:call(C, '__main__', run, [Pid])),
    receive {'DOWN', Mon, process, _, _} -> ok end.

%% An interrupt that comes while Python learns of a receiver's end ends the request
%% none the less.
noticed_as_the_time_is_up(Config) ->
    C = context(Config),
    Pid = py_ct:helper_pid(C),
    ok = py:exec(C, "import erlang._messages as messages\n"
                    "gone, threads = messages._gone, threading.Event()\n"
                    "def slowly(notice):\n"
                    "  threads.set()\n"
                    "  time.sleep(1)\n"
                    "  gone(notice)\n"
                    "messages._gone = slowly\n"
                    "def talk(dead, alive):\n"
                    "  erlang.send(dead, 1)\n"
                    "  while True:\n"
                    "    erlang.send(alive, 1)\n"
                    "    time.sleep(0.001)\n"),
    Dead = spawn(fun() -> receive 1 -> ok end end),
    Alive = spawn(fun Drop() -> receive _ -> Drop() end end),
    ?assertEqual({error, timeout}, py_context:call(C, '__main__', talk, [Dead, Alive], #{}, 500)),
    ?assertEqual({ok, true}, py:eval(C, "threads.is_set()")),
    ?assertEqual(Pid, py_ct:helper_pid(C)),
    true = exit(Alive, kill).

%% What can not be made a term here is dropped; the others are not.
unknown_atoms(Config) ->
    C = context(Config),
    {ok, none} = py:eval(C, "[erlang.send(d, m) for m in ('before', erlang.Atom('never_seen_q1'),"
                            " [erlang.Atom('never_seen_q2')], 'after')] and None", #{d => self()}),
    ?assertEqual(<<"before">>, get_message()),
    ?assertEqual(<<"after">>, get_message()).

no_new_atoms(Config) ->
    C = context(Config),
    ok = logger:set_primary_config(level, error),
    {ok, none} = send(C, self(), 1),
    1 = get_message(),
    Before = erlang:system_info(atom_count),
    ok = py:exec(C, "def try_all(d):\n"
                    "    for i in range(2000):\n"
                    "        erlang.send(d, erlang.Atom('never_%d' % i))\n"
                    "        try: erlang.send('never_%d' % i, 1)\n"
                    "        except erlang.ProcessError: pass\n"
                    "        assert erlang.whereis('never_%d' % i) is None\n"
                    "    erlang.send(d, 'end')\n"),
    {ok, none} = py:call(C, '__main__', try_all, [self()]),
    ?assertEqual(<<"end">>, get_message()),
    ?assertEqual(Before, erlang:system_info(atom_count)),
    ok = logger:set_primary_config(level, notice).

courier(C) ->
    {ready, Port, _, _, _} = py_registry:find(C),
    py_registry:courier(Port).

%% While the courier does not deliver, Python waits, and what is on its way is
%% bounded.
a_slow_courier(Config) ->
    slow(context(Config), 20000, 100).

a_slow_courier_and_large_messages(Config) ->
    slow(context(Config), 40, 300000).

slow(C, N, Bytes) ->
    ok = py:exec(C, "def flood(d, n, size):\n"
                    "    for i in range(n): erlang.send(d, (i, 'x' * size))\n"
                    "    return 'done'\n"),
    {ok, none} = send(C, self(), 1),
    1 = get_message(),
    Courier = courier(C),
    ok = sys:suspend(Courier),
    Self = self(),
    spawn_link(fun() -> Self ! py:call(C, '__main__', flood, [Self, N, Bytes]) end),
    py_ct:eventually(fun() -> stalls(C) > 0 end),
    {message_queue_len, Waiting} = process_info(Courier, message_queue_len),
    ?assert(Waiting * Bytes =< 1048576 + Bytes),
    %% Not even after a while.
    timer:sleep(300),
    ?assertEqual({message_queue_len, Waiting}, process_info(Courier, message_queue_len)),
    ok = sys:resume(Courier),
    Text = binary:copy(<<"x">>, Bytes),
    [receive {I, Got} -> ?assertEqual(Text, Got) after 20000 -> ct:fail({missing, I}) end
     || I <- lists:seq(0, N - 1)],
    ?assertEqual({ok, <<"done">>}, get_message()),
    ?assertEqual({ok, 1}, py:eval(C, "1")).

stalls(C) ->
    {ok, #{stats := #{stalls := N}}} = py_context:info(C),
    N.

%% What was sent arrives, though its context is stopped, or crashes, right then.
sent_before_the_end(_) ->
    [begin
         {ok, C} = py_context:new(#{log_output => false}),
         ok = py:exec(C, "import erlang, os"),
         _ = py:eval(C, ["[erlang.send(d, i) for i in range(5000)] and ", Then], #{d => self()}),
         ok = collect(lists:seq(0, 4999)),
         ok = py_context:stop(C)
     end || Then <- ["None", "os._exit(0)", "os.abort()"]].

%% Nobody is left that delivers for ever, and the context goes on.
a_flood_that_is_killed(Config) ->
    C = context(Config),
    Sink = spawn_link(fun sink/0),
    Flood = "def flood(d):\n"
            "    while True: erlang.send(d, 'x' * 1000)\n",
    [begin
         ok = py:exec(C, ["import erlang\n", Flood]),
         {Caller, CMon} = spawn_monitor(fun() -> py:call(C, '__main__', flood, [Sink]) end),
         timer:sleep(100),
         End(Caller),
         receive {'DOWN', CMon, process, _, _} -> ok end,
         ?assertEqual({ok, 2}, py:eval(C, "1 + 1"))
     end || End <- [fun(Pid) -> exit(Pid, kill) end,
                    fun(_) -> ok = py_port:kill(element(2, py_registry:find(C))) end,
                    fun(Pid) -> ok = sys:suspend(courier(C)), timer:sleep(50), exit(Pid, kill),
                                timer:sleep(50), ok = sys:resume(courier(C)) end]],
    unlink(Sink),
    exit(Sink, kill).

sink() ->
    receive _ -> sink() end.

self_and_whereis(Config) ->
    C = context(Config),
    ?assertEqual({ok, self()}, py:eval(C, "erlang.self()")),
    Self = self(),
    spawn_link(fun() -> Self ! {self(), py:eval(C, "erlang.self()")} end),
    {Pid, {ok, Pid}} = get_message(),
    ?assertEqual({ok, whereis(py_registry)}, py:eval(C, "erlang.whereis('py_registry')")),
    ?assertEqual({ok, none}, py:eval(C, "erlang.whereis('no such name at all')")),
    ?assertEqual({ok, none}, py:eval(C, "erlang.whereis(5)")).

monitors(Config) ->
    C = context(Config),
    {Pid, Mon} = spawn_monitor(fun() -> receive Why -> exit(Why) end end),
    ok = py:exec(C, "def watch(p): global m; m = erlang.monitor(p); return repr(m)"),
    {ok, <<"<erlang.Monitor of ", _/binary>>} = py:call(C, '__main__', watch, [Pid]),
    ?assertEqual({ok, {true, none}}, py:eval(C, "(m.alive, m.reason)")),
    Pid ! {because, 1},
    receive {'DOWN', Mon, process, _, _} -> ok end,
    py_ct:eventually(fun() -> py:eval(C, "m.alive") =:= {ok, false} end),
    ?assertEqual({ok, {because, 1}}, py:eval(C, "m.reason")),
    %% Of one that is dead already; by name; what is none.
    ?assertEqual({ok, {false, noproc}},
                 py:eval(C, "(lambda m: (m.alive, m.reason))(erlang.monitor(p))", #{p => Pid})),
    ?assertEqual({ok, {false, noproc}},
                 py:eval(C, "(lambda m: (m.alive, m.reason))(erlang.monitor('no such name'))")),
    ?assertEqual({ok, true}, py:eval(C, "erlang.monitor('py_registry').alive")),
    ?assertMatch({error, {"ErlangError", _}}, py:eval(C, "erlang.monitor(5)")),
    {ok, true} = py:eval(C, "erlang.monitor(p).__enter__().alive", #{p => self()}).

monitors_wait(Config) ->
    C = context(Config),
    {Pid, Mon} = spawn_monitor(fun() -> receive stop -> ok end end),
    Watch = "(lambda m: (m.wait(T), m.reason))(erlang.monitor(p))",
    Wait = fun(T) -> py:eval(C, string:replace(Watch, "T", T), #{p => Pid}) end,
    ?assertEqual({ok, {false, none}}, Wait("0.05")),
    ?assertEqual({ok, {false, none}}, Wait("0")),
    ?assertMatch({error, {"ValueError", _}}, Wait("-1")),
    %% The request's own time limit holds.
    ?assertEqual({error, timeout},
                 py_context:eval(C, "erlang.monitor(p).wait()", #{p => Pid}, 100)),
    Self = self(),
    spawn_link(fun() -> Self ! {waited, Wait("None")} end),
    Async = "import asyncio\n"
            "async def both(p):\n"
            "    m = erlang.monitor(p)\n"
            "    short = await m.wait_async(0.01)\n"
            "    return short, await m.wait_async()\n"
            "def run(p): return asyncio.run(both(p))\n",
    ok = py:exec(C, Async),
    spawn_link(fun() -> Self ! {awaited, py:call(C, '__main__', run, [Pid])} end),
    timer:sleep(100),
    Pid ! stop,
    receive {'DOWN', Mon, process, _, normal} -> ok end,
    receive {waited, W} -> ?assertEqual({ok, {true, normal}}, W) end,
    receive {awaited, A} -> ?assertEqual({ok, {false, true}}, A) end.

%% They hold a place only as long as they are held.
monitors_end(Config) ->
    C = context(Config),
    ok = py:exec(C, "import gc\n"
                    "def many(p):\n"
                    "    for i in range(5000): erlang.monitor(p)\n"
                    "    with erlang.monitor(p) as m: pass\n"
                    "    k = erlang.monitor(p); k.close(); k.close()\n"
                    "    gc.collect()\n"
                    "    return len(erlang._messages._watched)\n"),
    ?assertEqual({ok, 0}, py:call(C, '__main__', many, [self()])),
    State = sys:get_state(courier(C)),
    {Receivers, Monitors} = {element(3, State), element(4, State)},
    ?assertEqual({0, 0}, {map_size(Receivers), map_size(Monitors)}).

too_many_monitors(Config) ->
    C = context(Config),
    ?assertMatch({error, {"RuntimeError", "too many receivers" ++ _}},
                 py:eval(C, "[erlang.monitor(p) for i in range(5000)]", #{p => self()})),
    {ok, none} = send(C, self(), 1),
    ?assertEqual(1, get_message()).

%% Whoever waits on behalf of Python hears of its end.
waits_end_with_the_helper(Config) ->
    C = context(Config),
    Code = "def wait(p, how):\n"
           "    import os\n"
           "    threading.Timer(0.2, how).start()\n"
           "    erlang.monitor(p).wait()\n",
    ok = py:exec(C, Code),
    ok = py:exec(C, "import os\ndef crash(p): wait(p, os.abort)"),
    ?assertMatch({error, {crashed, _}}, py:call(C, '__main__', crash, [self()])).

large_messages(Config) ->
    C = context(Config),
    [begin
         Data = binary:copy(<<255>>, Size),
         {ok, none} = send(C, self(), {Data, x}),
         ?assertEqual({Data, x}, get_message())
     end || Size <- [16000, 16400, 66000, 200000, 3000000]].

no_leaks(_) ->
    {ok, First} = py_context:new(#{}),
    ok = py_context:stop(First),
    Census = py_ct:census(),
    Before = helpers(),
    [begin
         {ok, C} = py_context:new(#{}),
         ok = py:exec(C, "import erlang"),
         {ok, none} = send(C, self(), hello),
         hello = get_message(),
         ok = py_context:stop(C)
     end || _ <- lists:seq(1, 10)],
    py_ct:settled(Census),
    py_ct:eventually(fun() -> helpers() =< Before end).

helpers() ->
    ets:info(py_helpers, size).
