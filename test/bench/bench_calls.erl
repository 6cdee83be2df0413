%% SPDX-License-Identifier: Apache-2.0
%% @doc Calls: latency, throughput, pipelined calls, large binaries.
-module(bench_calls).

-export([latency/0, throughput/0, casts/0, binaries/1, port_of/1]).

-include("py_wire.hrl").

-define(ROUNDS, 20000).
-define(WINDOW, 64).

%% @doc One caller: `math:sqrt(16)' through a context's process and back.
-spec latency() -> [bench:figure()].
latency() ->
    lists:foreach(fun(_) -> sqrt() end, lists:seq(1, 1000)),
    Samples = [sample(fun sqrt/0) || _ <- lists:seq(1, ?ROUNDS)],
    Eval = [sample(fun() -> {ok, 2} = py:eval("1+1") end) || _ <- lists:seq(1, ?ROUNDS)],
    bench:percentiles(call, Samples) ++ bench:percentiles(eval, Eval).

sqrt() ->
    {ok, 4.0} = py:call(math, sqrt, [16]).

%% @doc Calls per second of several callers, over all contexts.
-spec throughput() -> [bench:figure()].
throughput() ->
    [{list_to_atom("callers_" ++ integer_to_list(N)),
      bench:rate(N, fun(_) -> sqrt() end), per_s}
     || N <- [1, 2, 8, 64, 256]].

%% @doc One process that keeps 64 requests under way.
-spec casts() -> [bench:figure()].
casts() ->
    {ok, Port, Limits} = port_of(py:context(1)),
    Rate = bench:rate(1, fun(_) -> window(Port, Limits) end),
    [{casts, Rate * ?WINDOW, per_s}].

window(Port, Limits) ->
    Tickets = [py_request:submit(Port, ?FRAME_CALL, 0, {math, sqrt, [16], #{}})
               || _ <- lists:seq(1, ?WINDOW)],
    lists:foreach(fun(Ticket) ->
                      {answer, ?FRAME_RESULT, _} =
                          py_request:collect(Port, Ticket, 30000, Limits)
                  end, Tickets).

%% @doc A context's port and limits.
-spec port_of(pid()) -> {ok, port(), py_request:limits()}.
port_of(Ctx) ->
    {ready, Port, _, Limits, _} = py_registry:find(Ctx),
    {ok, Port, Limits}.

%% @doc Binaries there and back, in bytes one way per second; the same through
%% a `{packet, 4}' port.
-spec binaries(string()) -> [bench:figure()].
binaries(Programs) ->
    Ctx = py:context(1),
    ok = py:exec(Ctx, "def bench_echo(b): return b"),
    Port = bench_base:open_echo(Programs),
    Figures = lists:append([sizes(Ctx, Port, Name, Size) || {Name, Size} <- sizes()]),
    true = port_close(Port),
    Figures.

sizes() ->
    [{"1_kib", 1 bsl 10}, {"64_kib", 1 bsl 16}, {"1_mib", 1 bsl 20}, {"16_mib", 1 bsl 24},
     {"64_mib", 1 bsl 26}].

%% Not valid UTF-8, so that it becomes `bytes' in Python.
sizes(Ctx, Port, Name, Size) ->
    Data = binary:copy(<<255>>, Size),
    Call = bench:rate_here(fun() -> {ok, _} = py:call(Ctx, '__main__', bench_echo, [Data]) end),
    %% A port's data goes to its owner: this process.
    Echo = bench:rate_here(fun() -> bench_base:echo(Port, Data) end),
    [{list_to_atom("echo_" ++ Name), Call * Size / 1.0e6, mb_per_s},
     {list_to_atom("port_echo_" ++ Name), Echo * Size / 1.0e6, mb_per_s}].

sample(Fun) ->
    Before = erlang:monotonic_time(nanosecond),
    Fun(),
    erlang:monotonic_time(nanosecond) - Before.
