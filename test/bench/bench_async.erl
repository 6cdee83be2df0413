%% SPDX-License-Identifier: Apache-2.0
%% @doc What does not wait: casts, coroutines, streams; each beside a baseline of
%% the same round.
-module(bench_async).

-export([run/1]).

-define(WINDOW, 64).

%% @doc The tables and figures.
-spec run(bench_ways:ways()) -> bench:part().
run(Ways) ->
    C = bench_ways:context(Ways, {lane, 1}),
    ok = py:exec(C, "import asyncio\n"
                    "async def value(v): return v\n"
                    "async def gathered(n):\n"
                    "    return sum(await asyncio.gather(*(value(1) for _ in range(n))))\n"
                    "async def items(n):\n"
                    "    for i in range(n): yield i\n"),
    {ok, 1} = py:async_await(py:async_call(C, '__main__', value, [1])),
    Rounds = [[{Name, bench_lib:alone(fun() -> Measure(C) end)}
               || {Name, Measure} <- bench_lib:rotate(R, things())]
              || R <- lists:seq(1, rounds())],
    Rates = maps:from_list([{Name, bench_lib:median([proplists:get_value(Name, R)
                                                     || R <- Rounds])}
                            || {Name, _} <- things()]),
    Latencies = [latency(C) || _ <- lists:seq(1, rounds())],
    #{tables => [rates(Rates), latencies(Latencies)], keys => keys(Rates, Latencies)}.

rounds() ->
    bench_lib:pick(5, 3).

%%% Rates

things() ->
    [{call, fun(C) -> bench_lib:rate(fun() -> {ok, 4.0} = py:call(C, math, sqrt, [16]) end) end},
     {cast, fun(C) -> per_second(?WINDOW, fun() -> casts(C) end) end},
     {cast_no_reply, fun(C) -> per_second(?WINDOW, fun() -> no_replies(C) end) end},
     {async_call, fun(C) -> per_second(?WINDOW, fun() -> coroutines(C) end) end},
     {gather_100, fun(C) -> per_second(1, fun() -> gather(C) end) end},
     {gather_python, fun(C) -> per_second(1, fun() -> gather_in_python(C) end) end},
     {list_10000, fun(C) -> per_second(10000, fun() -> list(C) end) end},
     {stream_10000, fun(C) -> per_second(10000, fun() -> stream(C) end) end},
     {events_10000, fun(C) -> per_second(10000, fun() -> events(C, builtins, range) end) end},
     {async_events_10000,
      fun(C) -> per_second(10000, fun() -> events(C, '__main__', items) end) end}].

per_second(N, Fun) ->
    N * 1.0e9 / bench_lib:mean_ns(bench_lib:pick(400, 200), 3, Fun).

casts(C) ->
    Refs = [py:cast(C, math, sqrt, [16]) || _ <- lists:seq(1, ?WINDOW)],
    lists:foreach(fun(Ref) -> {ok, 4.0} = py:await(Ref) end, Refs).

%% The last one is waited for, and they are served in order.
no_replies(C) ->
    _ = [py:cast(C, math, sqrt, [16], #{reply => false}) || _ <- lists:seq(2, ?WINDOW)],
    {ok, 4.0} = py:call(C, math, sqrt, [16]).

coroutines(C) ->
    Refs = [py:async_call(C, '__main__', value, [1]) || _ <- lists:seq(1, ?WINDOW)],
    lists:foreach(fun(Ref) -> {ok, 1} = py:async_await(Ref) end, Refs).

gather(C) ->
    {ok, [1 | _]} = py:async_gather(C, [{'__main__', value, [1]} || _ <- lists:seq(1, 100)]).

gather_in_python(C) ->
    {ok, 100} = py:async_await(py:async_call(C, '__main__', gathered, [100])).

list(C) ->
    {ok, [0 | _]} = py:call(C, builtins, list, [lists:seq(0, 9999)]).

stream(C) ->
    {ok, [0 | _]} = py:stream(C, builtins, range, [10000]).

events(C, Module, Function) ->
    {ok, Ref} = py:stream_start(C, Module, Function, [10000]),
    10000 = count(Ref, 0).

count(Ref, N) ->
    receive
        {py_stream, Ref, {data, _}} -> count(Ref, N + 1);
        {py_stream, Ref, done} -> N
    end.

rates(Rates) ->
    Row = fun(Title, Name, Base) ->
                  {Title, [maps:get(Name, Rates), maps:get(Name, Rates) / maps:get(Base, Rates)]}
          end,
    #{title => "without waiting: per second, one process, one context",
      notes => [[bench_lib:rounds_text(rounds()), "; 64 casts or coroutines are under way"],
                "the ratio of casts and coroutines is to py:call, of a gather to asyncio.gather",
                "in one request, of items to a list of 10,000 as one value"],
      columns => [{"per second", count}, {"/ baseline", ratio_plain}],
      rows => [Row("py:call", call, call), Row("py:cast, py:await", cast, call),
               Row("py:cast, reply => false", cast_no_reply, call),
               Row("py:async_call, async_await", async_call, call),
               Row("py:async_gather of 100", gather_100, gather_python),
               Row("asyncio.gather of 100", gather_python, gather_python),
               Row("items of a list there and back", list_10000, list_10000),
               Row("items of py:stream", stream_10000, list_10000),
               Row("items of stream_start", events_10000, list_10000),
               Row("the same, async generator", async_events_10000, list_10000)]}.

%%% Latency

%% From async_call to its value, beside a cast and a call.
latency(C) ->
    Clock = bench_lib:clock(),
    N = bench_lib:pick(3000, 1000),
    Measure = fun(Fun) -> bench_lib:alone(fun() ->
                              bench_lib:distribution(bench_lib:samples(N, Fun), Clock)
                          end)
              end,
    [{call, Measure(fun() -> {ok, 4.0} = py:call(C, math, sqrt, [16]) end)},
     {cast, Measure(fun() -> {ok, 4.0} = py:await(py:cast(C, math, sqrt, [16])) end)},
     {coroutine, Measure(fun() ->
                             Ref = py:async_call(C, '__main__', value, [1]),
                             {ok, 1} = py:async_await(Ref)
                         end)}].

merged(Name, Rounds) ->
    bench_lib:merge([proplists:get_value(Name, R) || R <- Rounds]).

latencies(Rounds) ->
    Base = bench_lib:at(5000, merged(call, Rounds)),
    Row = fun(Title, Name) ->
                  D = merged(Name, Rounds),
                  {Title, [bench_lib:at(5000, D), bench_lib:at(9900, D),
                           bench_lib:at(5000, D) / Base]}
          end,
    #{title => "without waiting: from the submission to the result, one at a time",
      notes => [bench_lib:rounds_text(rounds())],
      columns => [{"p50", us}, {"p99", us}, {"p50 / call", ratio}],
      rows => [Row("py:call", call), Row("py:cast, py:await", cast),
               Row("py:async_call, async_await", coroutine)]}.

keys(Rates, Latencies) ->
    Coroutine = merged(coroutine, Latencies),
    #{casts_per_second => maps:get(cast, Rates),
      casts_no_reply_per_second => maps:get(cast_no_reply, Rates),
      async_calls_per_second => maps:get(async_call, Rates),
      async_call_p50_ns => bench_lib:at(5000, Coroutine),
      async_call_p99_ns => bench_lib:at(9900, Coroutine),
      gathers_of_100_per_second => maps:get(gather_100, Rates),
      stream_items_per_second => maps:get(events_10000, Rates),
      collected_items_per_second => maps:get(stream_10000, Rates)}.
