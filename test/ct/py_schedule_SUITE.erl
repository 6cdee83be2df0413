%% SPDX-License-Identifier: Apache-2.0
%% @doc Functions that hand over: `schedule', `schedule_py', `schedule_inline'.
-module(py_schedule_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(CODE,
        "import erlang, threading, time, asyncio\n"
        "log = []\n"
        "def to_erlang(name, *args, **kw): return erlang.schedule(name, *args, **kw)\n"
        "def to_python(m, f, a=None, k=None): return erlang.schedule_py(m, f, a, k)\n"
        "def inline(m, f, a=None, k=None): return erlang.schedule_inline(m, f, a, k)\n"
        "def down(n): return erlang.schedule_py('__main__', 'down', [n - 1]) if n else 'end'\n"
        "def sink(n): return erlang.schedule_inline('__main__', 'sink', (n - 1,)) if n else 'end'\n"
        "def note(what): log.append(what)\n"
        "def take(): v = log[:]; log.clear(); return v\n"
        "def until(n, what):\n"
        "    log.append(n)\n"
        "    if what in log: return len(log)\n"
        "    return erlang.schedule_py('__main__', 'until', [n, what])\n"
        "def forever(inline=False):\n"
        "    f = erlang.schedule_inline if inline else erlang.schedule_py\n"
        "    if not inline and 'begun' not in log: log.append('begun')\n"
        "    return f('__main__', 'forever', [inline])\n"
        "def count_to(n, at=0):\n"
        "    while at < n:\n"
        "        at += 1\n"
        "        if erlang.consume_time_slice(25):\n"
        "            log.append(at)\n"
        "            return erlang.schedule_py('__main__', 'count_to', [n], {'at': at})\n"
        "    return at\n"
        "def fails(): raise KeyError('here')\n"
        "class Box:\n"
        "    def get(self): return erlang.schedule_py('math', 'sqrt', [16])\n"
        "def box(): return Box()\n"
        "def numbers(n): yield from range(n)\n"
        "async def later(m, f, a): await asyncio.sleep(0); return erlang.schedule_py(m, f, a)\n"
        "async def at_once(m, f, a): return erlang.schedule_inline(m, f, a)\n"
        "async def ask(n): return erlang.schedule('double', n)\n"
        "async def adown(n):\n"
        "    return erlang.schedule_inline('__main__', 'adown', [n - 1]) if n else 7\n"
        "def mix(n):\n"
        "    if n % 4 == 0: erlang.call('double', n)\n"
        "    if n % 7 == 0: erlang.schedule_py('__main__', 'note', [n])()\n"
        "    if n == 0: return erlang.schedule('double', 21)\n"
        "    f = erlang.schedule_inline if n % 4 == 3 else erlang.schedule_py\n"
        "    return f('__main__', 'mix', [n - 1])\n"
        "def where(): return threading.current_thread() is threading.main_thread()\n").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [erlang_function, python_function, inline_function, every_form, coroutines, coroutine_ends,
     streams, far_down, errors, in_place, others_go_first, others_after_each_other,
     not_before_inline, timeout, timeout_in_line, interrupted, given_up, slices, slices_elsewhere,
     namespaces, nested, on_top_of_a_callback, stopped, renewed, storm].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}]),
    C = py:context(1),
    ok = py:exec(C, ?CODE),
    ok = py:register_function(double, fun([N]) -> 2 * N;
                                         ([]) -> none
                              end),
    ok = py:register_function(keys, fun(Args, Kwargs) -> {Args, Kwargs} end),
    [{context, C} | Config].

end_per_testcase(_, _) ->
    py_ct:stop().

context(Config) -> proplists:get_value(context, Config).

call(Config, F, A) -> py:call(context(Config), '__main__', F, A).

cast(Config, F, A) -> py:cast(context(Config), '__main__', F, A).

erlang_function(Config) ->
    Self = self(),
    ok = py:register_function(who, fun([]) -> self() =:= Self end),
    ?assertEqual({ok, 42}, call(Config, to_erlang, [double, 21])),
    ?assertEqual({ok, true}, call(Config, to_erlang, [<<"who">>])),
    ?assertEqual({ok, {[1], #{<<"a">> => 2}}},
                 py:call(context(Config), '__main__', to_erlang, [keys, 1],
                         #{kwargs => #{a => 2}})).

python_function(Config) ->
    ?assertEqual({ok, 4.0}, call(Config, to_python, [math, sqrt, [16]])),
    ?assertEqual({ok, <<"a/b">>}, call(Config, to_python, [os, 'path.join', [<<"a">>, <<"b">>]])),
    ?assertEqual({ok, 255},
                 call(Config, to_python, [builtins, int, [<<"ff">>], #{base => 16}])).

inline_function(Config) ->
    ?assertEqual({ok, 4.0}, call(Config, inline, [math, sqrt, [16]])),
    ?assertEqual({ok, []}, call(Config, inline, [builtins, list])),
    ?assertEqual({ok, 42}, call(Config, inline, ['__main__', to_erlang, [double, 21]])).

every_form(Config) ->
    C = context(Config),
    Next = "erlang.schedule_py('math', 'sqrt', [16])",
    ?assertEqual({ok, 4.0}, py:eval(C, Next)),
    ?assertEqual(ok, py:exec(C, Next)),
    ?assertEqual({ok, 4.0}, py:await(cast(Config, to_python, [math, sqrt, [16]]))),
    ?assertEqual({ok, 4.0}, py:await(py:spawn_call(C, '__main__', to_python, [math, sqrt, [16]]))),
    {ok, Box} = py:call(C, '__main__', to_python, ['__main__', box], #{return => ref}),
    ?assert(py:is_ref(Box)),
    ?assertEqual({ok, 4.0}, py:call_method(Box, get, [])),
    ?assertEqual({ok, [4.0, 6]},
                 py:parallel([{'__main__', to_python, [math, sqrt, [16]]},
                              {'__main__', to_erlang, [double, 3]}])).

coroutines(Config) ->
    C = context(Config),
    Await = fun(F, A) -> py:async_await(py:async_call(C, '__main__', F, A)) end,
    ?assertEqual({ok, 4.0}, Await(later, [math, sqrt, [16]])),
    ?assertEqual({ok, 4.0}, Await(at_once, [math, sqrt, [16]])),
    ?assertEqual({ok, 14}, Await(ask, [7])),
    ?assertEqual({ok, false}, Await(later, ['__main__', where, []])),
    ?assertEqual({ok, 14}, Await(later, ['__main__', ask, [7]])),
    ?assertEqual({ok, 7}, Await(adown, [1000])),
    %% A function that hands over to a coroutine, and one whose coroutine goes on.
    ?assertEqual({ok, 14}, Await(to_python, ['__main__', ask, [7]])),
    ?assertEqual({ok, 14}, py_event_loop:run(C, '__main__', to_python, ['__main__', ask, [7]])),
    ?assertMatch({error, {"KeyError", _}}, Await(later, ['__main__', fails, []])),
    ?assertMatch({error, {"NameError", _}}, Await(later, ['__main__', to_erlang, [nobody]])).

%% Giving up reaches what it goes on with, and so does the end of the loop.
coroutine_ends(Config) ->
    C = context(Config),
    ok = py:exec(C, "async def long():\n"
                    "    log.append('long')\n"
                    "    try: await asyncio.sleep(3600)\n"
                    "    finally: log.append('ended')\n"),
    Begun = fun() -> {ok, true} =:= py:eval(C, "'long' in log") end,
    Ref = py:async_call(C, '__main__', at_once, ['__main__', long, []]),
    py_ct:eventually(Begun),
    {error, timeout} = py:async_await(Ref, 0),
    py_ct:eventually(fun() -> {ok, [<<"long">>, <<"ended">>]} =:= py:eval(C, "log") end),
    {ok, _} = call(Config, take, []),
    Other = py:async_call(C, '__main__', at_once, ['__main__', long, []]),
    py_ct:eventually(Begun),
    ok = py_context:stop_loop(C),
    ?assertMatch({error, {"CancelledError", _}}, py:async_await(Other)).

%% The iterator may come from elsewhere, and so may its items.
streams(Config) ->
    C = context(Config),
    ?assertEqual({ok, [0, 1, 2]}, py:stream(C, '__main__', to_python, ['__main__', numbers, [3]])),
    ?assertEqual({ok, [0, 2, 4]},
                 py:stream_eval(C, "(erlang.schedule('double', i) for i in range(3))")),
    ok = py:exec(C, "async def some():\n"
                    "    for i in range(3): yield erlang.schedule_py('math', 'sqrt', [i * i])\n"),
    ?assertEqual({ok, [0.0, 1.0, 2.0]}, py:stream(C, '__main__', some, [])).

far_down(Config) ->
    ?assertEqual({ok, <<"end">>}, call(Config, down, [100000])),
    ?assertEqual({ok, <<"end">>}, call(Config, sink, [100000])),
    ?assertEqual({ok, <<"end">>}, py:eval(context(Config), "down(100000)()")).

errors(Config) ->
    Name = call(Config, to_erlang, [nobody]),
    ?assertMatch({error, {"NameError", _}}, Name),
    ?assertEqual(py:eval(context(Config), "erlang.call('nobody')"), Name),
    [?assertMatch({error, {"TypeError", _}}, py:eval(context(Config), Code))
     || Code <- ["erlang.schedule(7)", "erlang.schedule(('state', 'get'))", "erlang.schedule()",
                 "erlang.schedule_py(erlang, 'sqrt')", "erlang.schedule_py('math', 1)",
                 "erlang.schedule_py('math', 'sqrt', 'ab')",
                 "erlang.schedule_inline('math', 'sqrt', [1], [2])",
                 "erlang.schedule_inline('math', 'sqrt', [1], {1: 2})"]],
    ?assertMatch({error, {"ModuleNotFoundError", _}}, call(Config, to_python, [no_such_module, f])),
    ?assertMatch({error, {"AttributeError", _}}, call(Config, to_python, [math, no_such])),
    ?assertMatch({error, {"AttributeError", _}}, call(Config, inline, ['__main__', no_such])),
    ?assertMatch({error, {"KeyError", _}}, call(Config, inline, ['__main__', fails])),
    ?assertMatch({error, {"EncodeError", _}},
                 py:eval(context(Config), "[erlang.schedule('double')]")).

in_place(Config) ->
    C = context(Config),
    ?assertEqual({ok, 5.0}, py:eval(C, "erlang.schedule_py('math', 'sqrt', [16])() + 1")),
    ?assertEqual({ok, 43}, py:eval(C, "to_python('__main__', 'to_erlang', ['double', 21])() + 1")),
    ?assertMatch({error, {"TypeError", _}}, py:eval(C, "erlang.schedule('double', 1)(2)")).

%% What waits is served between two steps; what it does is seen by the next.
others_go_first(Config) ->
    Ref = cast(Config, until, [a, <<"stop">>]),
    {ok, none} = call(Config, note, [stop]),
    {ok, N} = py:await(Ref),
    ?assert(N >= 2),
    ?assertEqual({ok, 4}, call(Config, count_to, [4])).

%% Two that hand over take turns, one step each.
others_after_each_other(Config) ->
    C = context(Config),
    ok = py:exec(C, "gate = threading.Event()\n"
                    "def turns(who, n):\n"
                    "    log.append(who)\n"
                    "    if n: return erlang.schedule_py('__main__', 'turns', [who, n - 1])\n"
                    "    return who\n"),
    Slow = py:cast(C, time, sleep, [0.2]),
    A = cast(Config, turns, [a, 3]),
    B = cast(Config, turns, [b, 3]),
    {ok, _} = py:await(Slow),
    ?assertEqual({ok, a}, py:await(A)),
    ?assertEqual({ok, b}, py:await(B)),
    ?assertEqual({ok, [a, b, a, b, a, b, a, b]},
                 call(Config, take, [])).

not_before_inline(Config) ->
    C = context(Config),
    ok = py:exec(C, "def row(n):\n"
                    "    log.append(n)\n"
                    "    return erlang.schedule_inline('__main__', 'row', [n-1]) if n else n\n"),
    Slow = py:cast(C, time, sleep, [0.2]),
    A = cast(Config, row, [2]),
    B = cast(Config, note, [x]),
    [{ok, _} = py:await(R) || R <- [Slow, A, B]],
    ?assertEqual({ok, [2, 1, 0, x]}, call(Config, take, [])).

timeout(Config) ->
    C = context(Config),
    [begin
         ?assertEqual({error, timeout},
                      py:call(C, '__main__', forever, [Inline], #{timeout => 100})),
         ?assertEqual({ok, 4}, py:eval(C, "2 + 2"))
     end || Inline <- [true, false]],
    ?assertMatch({ok, #{restarts := 0}}, py_context:info(C)).

%% It ends as well where many others take turns with it.
timeout_in_line(Config) ->
    C = context(Config),
    Others = [py:cast(C, '__main__', forever, [], #{timeout => 1500}) || _ <- lists:seq(1, 5)],
    ?assertEqual({error, timeout}, py:call(C, '__main__', forever, [], #{timeout => 100})),
    ?assertEqual({ok, 4}, py:eval(C, "2 + 2")),
    ?assertEqual([{error, timeout} || _ <- Others], [py:await(R) || R <- Others]),
    ?assertMatch({ok, #{restarts := 0}}, py_context:info(C)).

interrupted(Config) ->
    C = context(Config),
    Ref = cast(Config, forever, []),
    py_ct:eventually(fun() -> {ok, true} =:= py:eval(C, "'begun' in log") end),
    %% It hits nobody while this one waits in the line, or has not begun.
    py_ct:eventually(fun() ->
        _ = py_context:interrupt(C),
        receive
            {py_response, Ref, {error, {"KeyboardInterrupt", _}}} -> true
        after 0 -> false
        end
    end),
    ?assertMatch({ok, #{restarts := 0}}, py_context:info(C)).

given_up(Config) ->
    C = context(Config),
    {Pid, Mon} = spawn_monitor(fun() -> py:call(C, '__main__', forever, []) end),
    py_ct:eventually(fun() -> {ok, true} =:= py:eval(C, "'begun' in log") end),
    exit(Pid, kill),
    receive {'DOWN', Mon, process, Pid, killed} -> ok end,
    ?assertEqual({ok, <<"end">>}, call(Config, down, [100])),
    ?assertMatch({ok, #{restarts := 0}}, py_context:info(C)).

slices(Config) ->
    C = context(Config),
    ?assertEqual({ok, 10}, call(Config, count_to, [10])),
    ?assertEqual({ok, [4, 8]}, call(Config, take, [])),
    ?assertEqual({ok, [false, true, true, false]},
                 py:eval(C, "[erlang.consume_time_slice(p) for p in (99, 1, 100, 99)]")),
    ?assertEqual({ok, false}, py:eval(C, "erlang.consume_time_slice(99)")),
    [?assertMatch({error, {"ValueError", _}},
                  py:eval(C, ["erlang.consume_time_slice(", P, ")"]))
     || P <- ["0", "101", "-1", "10**30"]],
    ?assertMatch({error, {"TypeError", _}}, py:eval(C, "erlang.consume_time_slice('1')")).

slices_elsewhere(Config) ->
    C = context(Config),
    ok = py:exec(C, "async def slices(): return [erlang.consume_time_slice(50) for _ in range(3)]\n"
                    "def in_thread():\n"
                    "    got = []\n"
                    "    f = lambda: got.extend(erlang.consume_time_slice(50) for _ in range(3))\n"
                    "    t = threading.Thread(target=f); t.start(); t.join()\n"
                    "    return got\n"),
    Expect = {ok, [false, true, false]},
    [?assertEqual(Expect, py:async_await(py:async_call(C, '__main__', slices, []))) || _ <- [1, 2]],
    [?assertEqual(Expect, call(Config, in_thread, [])) || _ <- [1, 2]].

%% The function is looked for where the one that asks was defined.
namespaces(_) ->
    {ok, C} = py_context:new(#{namespace => process}),
    ok = py:exec(C, "import erlang\n"
                    "class K:\n"
                    "    f = staticmethod(lambda: 'mine')\n"
                    "def mine(): return 'mine'\n"
                    "def go(name): return erlang.schedule_py('__main__', name)\n"),
    ?assertEqual({ok, <<"mine">>}, py:call(C, '__main__', go, [mine])),
    ?assertEqual({ok, <<"mine">>}, py:call(C, '__main__', go, ['K.f'])),
    ?assertMatch({error, {"AttributeError", _}}, py:call(C, '__main__', go, [other])),
    ok = py_context:stop(C).

%% A request that a callback makes goes on before others, step by step.
nested(Config) ->
    C = context(Config),
    ok = py:register_function(inner, fun([]) ->
             {ok, V} = py:call(C, '__main__', down, [10]),
             V
         end),
    Refs = [cast(Config, note, [N]) || N <- [1, 2, 3]],
    ?assertEqual({ok, <<"end">>}, call(Config, to_erlang, [inner])),
    [{ok, none} = py:await(R) || R <- Refs].

%% Others run on top of one that waits for a callback, and may hand over there.
on_top_of_a_callback(Config) ->
    Self = self(),
    ok = py:register_function(gate, fun([]) ->
             Self ! {at_gate, self()},
             receive go_on -> through after 60000 -> late end
         end),
    Below = cast(Config, to_erlang, [gate]),
    Gate = receive {at_gate, Pid} -> Pid after 60000 -> error(timeout) end,
    A = cast(Config, until, [a, <<"stop">>]),
    B = cast(Config, down, [100]),
    ?assertEqual({ok, <<"end">>}, py:await(B)),
    {ok, none} = call(Config, note, [stop]),
    {ok, _} = py:await(A),
    C = cast(Config, forever, []),
    py_ct:eventually(fun() -> {ok, true} =:= py:eval(context(Config), "'begun' in log") end),
    Gate ! go_on,
    ?assertEqual({error, timeout}, py:await(C, 100)),
    ?assertEqual({ok, through}, py:await(Below)),
    ?assertMatch({ok, #{restarts := 0}}, py_context:info(context(Config))).

stopped(_) ->
    {ok, C} = py_context:new(#{}),
    ok = py:exec(C, ?CODE),
    Ref = py:cast(C, '__main__', forever, []),
    py_ct:eventually(fun() -> {ok, true} =:= py:eval(C, "'begun' in log") end),
    ok = py_context:stop(C),
    ?assertMatch({error, _}, py:await(Ref)).

%% The former helper ends what it has.
renewed(Config) ->
    C = context(Config),
    Ref = cast(Config, down, [200000]),
    ok = py_context:renew(C),
    ?assertEqual({ok, <<"end">>}, py:await(Ref)).

%% Many at the same time, of which some give up and some die, wherever they are.
storm(Config) ->
    C = context(Config),
    Limit = fun() -> lists:nth(rand:uniform(4), [0, 5, 20, infinity]) end,
    Call = fun(T) -> py:call(C, '__main__', mix, [rand:uniform(100)], #{timeout => T}) end,
    Callers = fun(I) ->
        [begin
             {Pid, Mon} = spawn_monitor(fun() -> exit({result, Call(Limit())}) end),
             _ = [timer:exit_after(rand:uniform(10), Pid, kill) || I rem 4 =:= 0],
             receive {'DOWN', Mon, process, Pid, How} -> How after 60000 -> never end
         end || _ <- lists:seq(1, 25)]
    end,
    Results = lists:append(py_ct:parallel(32, Callers)),
    Odd = [R || R <- Results, R =/= {result, {ok, 42}}, R =/= {result, {error, timeout}},
                R =/= killed],
    ?assertEqual([], Odd),
    ?assert(lists:member({result, {ok, 42}}, Results)),
    ?assertEqual({ok, 42}, Call(infinity)),
    {ok, #{restarts := 0, crashes := 0, stats := #{pending := 0}}} = py_context:info(C).
