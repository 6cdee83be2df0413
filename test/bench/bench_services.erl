%% SPDX-License-Identifier: Apache-2.0
%% @doc State, messages and channels: how many per second, and how long a
%% channel takes to wake who waits, each beside what it is made of.
-module(bench_services).

-export([run/1]).

%% One way, the receiver has slept for so long.
-define(REST_MS, 2).

%% @doc Over the first context of the lane.
-spec run(bench_ways:ways()) -> bench:part().
run(Ways) ->
    Context = bench_ways:context(Ways, {lane, 1}),
    ok = py:exec(Context, code()),
    ok = py:register_function(bench_nothing, fun(_) -> none end),
    Rounds = [one_round(Context) || _ <- lists:seq(1, rounds())],
    ok = py:unregister_function(bench_nothing),
    ok = py:state_clear(),
    Rate = fun(Name) -> bench_lib:median([proplists:get_value(Name, R) || R <- Rounds]) end,
    Time = fun(Name) -> bench_lib:merge([proplists:get_value(Name, R) || R <- Rounds]) end,
    #{tables => [rates(Rate), latencies(Time)],
      keys => #{sends_rate => Rate(send), state_get_rate => Rate(py_get),
                state_incr_rate => Rate(py_incr), sends_to_callbacks => Rate(send) / Rate(py_call),
                channel_echo_p50_ns => bench_lib:at(5000, Time(echo)),
                channel_to_python_p50_ns => bench_lib:at(5000, Time(to_python)),
                channel_to_erlang_p50_ns => bench_lib:at(5000, Time(to_erlang))}}.

rounds() ->
    bench_lib:pick(5, 2).

%% What runs in Python; it times itself where there is nothing to wait for.
code() ->
    "import erlang, time\n"
    "def per_second(n, what):\n"
    "    for _ in range(n // 10): what()\n"
    "    start = time.perf_counter()\n"
    "    for _ in range(n): what()\n"
    "    return n / (time.perf_counter() - start)\n"
    "def get(n): return per_second(n, lambda: erlang.state_get('bench'))\n"
    "def incr(n): return per_second(n, lambda: erlang.state_incr('bench'))\n"
    "def call(n): return per_second(n, lambda: erlang.call('bench_nothing'))\n"
    "def local(n):\n"
    "    d = {'bench': 1}\n"
    "    return per_second(n, lambda: d.get('bench'))\n"
    "def flood(pid, n):\n"
    "    for i in range(n): erlang.send(pid, i)\n"
    "def echo(a, b):\n"
    "    out = erlang.Channel(b)\n"
    "    for x in erlang.Channel(a): out.send(x)\n"
    "def arrivals(a):\n"
    "    now = time.perf_counter_ns\n"
    "    return [now() - sent for sent in erlang.Channel(a)]\n"
    "def departures(b, n, rest):\n"
    "    out = erlang.Channel(b)\n"
    "    for _ in range(n):\n"
    "        time.sleep(rest)\n"
    "        out.send(time.perf_counter_ns())\n".

one_round(Context) ->
    ok = py:state_store(bench, 1),
    Many = bench_lib:pick(50000, 10000),
    In = fun(Function) -> {ok, V} = py:call(Context, '__main__', Function, [Many]), V end,
    Table = ets:new(bench, [public, {write_concurrency, true}, {read_concurrency, true}]),
    true = ets:insert(Table, {<<"bench">>, 1}),
    Round =
        [{erl_get, bench_lib:rate(fun() -> py:state_fetch(bench) end)},
         {erl_incr, bench_lib:rate(fun() -> py:state_incr(bench) end)},
         {ets_get, bench_lib:rate(fun() -> ets:lookup(Table, <<"bench">>) end)},
         {ets_incr, bench_lib:rate(fun() -> ets:update_counter(Table, <<"bench">>, 1) end)},
         {py_get, In(get)}, {py_incr, In(incr)}, {py_call, In(call)}, {py_local, In(local)},
         {send, sends(Context, Many)}, {bang, bangs(Many)},
         {echo, echo(Context)}, {process, process()},
         {block, bench_lib:distribution(bench_os:round_trips("block", samples()))},
         {call, called(Context)},
         {to_python, to_python(Context)}, {to_erlang, to_erlang(Context)}],
    true = ets:delete(Table),
    Round.

samples() ->
    bench_lib:pick(5000, 1000).

%%% Messages

%% From the first to the last that has arrived.
sends(Context, N) ->
    Flood = fun(Sink, Count) -> {ok, none} = py:call(Context, '__main__', flood, [Sink, Count]) end,
    arrived(N, Flood).

bangs(N) ->
    arrived(N, fun(Sink, Count) -> _ = [Sink ! I || I <- lists:seq(1, Count)], ok end).

arrived(N, Send) ->
    Self = self(),
    Sink = spawn_link(fun() -> ok = sink(N), Self ! all_there end),
    Start = erlang:monotonic_time(nanosecond),
    _ = Send(Sink, N),
    receive all_there -> N * 1.0e9 / (erlang:monotonic_time(nanosecond) - Start) end.

sink(0) -> ok;
sink(N) -> receive _ -> sink(N - 1) end.

%%% Channels

with_python(Context, Function, Args, Fun) ->
    Self = self(),
    Pid = spawn_link(fun() -> Self ! {self(), py:call(Context, '__main__', Function, Args)} end),
    Result = Fun(),
    receive {Pid, {ok, Value}} -> {Result, Value} end.

channel() ->
    {ok, Channel} = py_channel:new(),
    Channel.

echo(Context) ->
    [A, B] = [channel(), channel()],
    {Samples, none} = with_python(Context, echo, [A, B], fun() ->
        Got = bench_lib:samples(samples(), fun() -> ok = py_channel:send(A, 1),
                                                    {ok, 1} = py_channel:recv(B)
                                           end),
        ok = py_channel:close(A),
        Got
    end),
    ok = py_channel:close(B),
    bench_lib:distribution(Samples).

%% Both sides read the same clock.
to_python(Context) ->
    A = channel(),
    {ok, Times} = with_python(Context, arrivals, [A], fun() ->
        _ = [begin
                 timer:sleep(?REST_MS),
                 ok = py_channel:send(A, os:perf_counter(nanosecond))
             end || _ <- lists:seq(1, rested())],
        py_channel:close(A)
    end),
    bench_lib:distribution(Times).

to_erlang(Context) ->
    B = channel(),
    N = rested(),
    {Times, none} = with_python(Context, departures, [B, N, ?REST_MS / 1000], fun() ->
        [begin
             {ok, Sent} = py_channel:recv(B),
             os:perf_counter(nanosecond) - Sent
         end || _ <- lists:seq(1, N)]
    end),
    ok = py_channel:close(B),
    bench_lib:distribution(Times).

rested() ->
    bench_lib:pick(400, 100).

process() ->
    Bouncer = spawn_link(fun bounce/0),
    Samples = bench_lib:samples(samples(), fun() -> Bouncer ! self(), receive pong -> ok end end),
    unlink(Bouncer),
    exit(Bouncer, kill),
    bench_lib:distribution(Samples).

bounce() ->
    receive From -> From ! pong end,
    bounce().

called(Context) ->
    bench_lib:distribution(bench_lib:samples(samples(), fun() ->
        {ok, 4.0} = py:call(Context, math, sqrt, [16])
    end)).

%%% What came of it

rates(Rate) ->
    Row = fun(Title, Name, Base) -> {Title, [Rate(Name), Rate(Name) / Rate(Base)]} end,
    #{title => "state and messages: per second",
      notes => [bench_lib:rounds_text(rounds()),
                "one process, one context; the ratio is to the baseline below each group"],
      columns => [{"per second", count}, {"ratio", ratio}],
      rows => [Row("Erlang: py:state_fetch", erl_get, ets_get),
               Row("  ets:lookup", ets_get, ets_get),
               Row("Erlang: py:state_incr", erl_incr, ets_incr),
               Row("  ets:update_counter", ets_incr, ets_incr),
               Row("Python: erlang.state_get", py_get, py_call),
               Row("Python: erlang.state_incr", py_incr, py_call),
               Row("  a callback that does nothing", py_call, py_call),
               Row("  Python: a dict's get", py_local, py_call),
               Row("Python: erlang.send", send, bang),
               Row("  Erlang: Pid ! Message", bang, bang)]}.

latencies(Time) ->
    Shares = [5000, 9900, 10000],
    Row = fun(Title, Name) -> {Title, [bench_lib:at(S, Time(Name)) || S <- Shares]} end,
    #{title => "channels: how long it takes",
      notes => [bench_lib:rounds_text(rounds()),
                io_lib:format("one way: from before the send until the receiver has it, which has "
                              "slept for ~b ms", [?REST_MS])],
      columns => [{"p50", us}, {"p99", us}, {"max", us}],
      rows => [Row("Erlang, Python and back", echo),
               Row("  BEAM process and back", process),
               Row("  py:call(math, sqrt, [16])", call),
               Row("Erlang to Python, one way", to_python),
               Row("Python to Erlang, one way", to_erlang),
               Row("  C to C and back, sleeping", block)]}.
