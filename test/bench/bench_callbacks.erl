%% SPDX-License-Identifier: Apache-2.0
%% @doc Python calls Erlang and gets its value, beside a call the other way, in
%% the same rounds.
-module(bench_callbacks).

-export([run/1]).

%% @doc Over the first context of the lane.
-spec run(bench_ways:ways()) -> bench:part().
run(Ways) ->
    C = bench_ways:context(Ways, {lane, 1}),
    ok = py:exec(C, code()),
    ok = py:register_function(bench_back, fun([X]) -> X end),
    Rounds = [[{Name, bench_lib:alone(fun() -> Measure(C) end)}
               || {Name, Measure} <- bench_lib:rotate(R, things())]
              || R <- lists:seq(1, bench_lib:pick(7, 3))],
    ok = py:unregister_function(bench_back),
    Merged = maps:from_list([{Name, bench_lib:merge([proplists:get_value(Name, R)
                                                     || R <- Rounds])}
                             || {Name, _} <- things()]),
    P50 = maps:map(fun(_, D) -> bench_lib:at(5000, D) end, Merged),
    #{call := Call, callback := Callback} = P50,
    #{tables => [table(length(Rounds), Merged, Call)],
      keys => #{callback_p50_ns => Callback, callback_to_call => Callback / Call}}.

things() ->
    [{call, fun call/1}, {callback, fun callback/1}, {thread, fun in_a_thread/1}].

%% What runs in Python; it reads its own clock, twice a call, as Erlang does.
code() ->
    "import erlang, threading, time\n"
    "def trips(n):\n"
    "    now, back, times = time.perf_counter_ns, erlang.bench_back, []\n"
    "    for _ in range(n // 10): back(1)\n"
    "    for _ in range(n):\n"
    "        before = now()\n"
    "        back(1)\n"
    "        times.append(now() - before)\n"
    "    return times\n"
    "def looks(n):\n"
    "    now, times = time.perf_counter_ns, []\n"
    "    for _ in range(n):\n"
    "        before = now()\n"
    "        times.append(now() - before)\n"
    "    return sorted(times)[n // 2]\n"
    "def in_a_thread(n):\n"
    "    out = []\n"
    "    t = threading.Thread(target=lambda: out.extend(trips(n)))\n"
    "    t.start()\n"
    "    t.join()\n"
    "    return out\n".

samples() ->
    bench_lib:pick(20000, 5000).

call(C) ->
    Clock = bench_lib:clock(),
    Call = fun() -> {ok, 4.0} = py:call(C, math, sqrt, [16]) end,
    bench_lib:distribution(bench_lib:samples(samples(), Call), Clock).

callback(C) ->
    timed_there(C, trips, samples()).

%% Each of these wakes an Erlang process that is made for it.
in_a_thread(C) ->
    timed_there(C, in_a_thread, bench_lib:pick(4000, 1000)).

timed_there(C, Function, N) ->
    {ok, Clock} = py:call(C, '__main__', looks, [20000]),
    {ok, Times} = py:call(C, '__main__', Function, [N]),
    bench_lib:distribution(Times, Clock).

table(Rounds, Merged, Call) ->
    Row = fun(Title, Name) ->
                  #{Name := D} = Merged,
                  {Title, [bench_lib:at(5000, D), bench_lib:at(9900, D),
                           bench_lib:at(5000, D) / Call]}
          end,
    #{title => "callbacks: there and back, one at a time",
      notes => [bench_lib:rounds_text(Rounds),
                "each side reads its own clock, whose time is subtracted"],
      columns => [{"p50", us}, {"p99", us}, {"p50 / call", ratio}],
      rows => [Row("Erlang calls Python: py:call of math.sqrt", call),
               Row("Python calls Erlang: erlang.name(1), in a request", callback),
               Row("the same in a thread of Python, which no request waits for", thread)]}.
