%% SPDX-License-Identifier: Apache-2.0
%% @doc The life of contexts: start, memory, recovery.
-module(bench_life).

-export([run/0]).

-define(STARTS, 50).
-define(CRASHES, 30).

%% @doc All of it.
-spec run() -> [bench:figure()].
run() ->
    starts() ++ memory() ++ recovery().

%% From `py_context:new' until the context is ready, and its first call, which
%% pays for the pages that it is the first to touch.  The pause lets the zygote
%% fork the next spare, as it has in real life.
starts() ->
    {Spare, First} = lists:unzip([start(50) || _ <- lists:seq(1, ?STARTS)]),
    {Burst, _} = lists:unzip([start(0) || _ <- lists:seq(1, ?STARTS)]),
    bench:percentiles(start_from_spare, Spare) ++ bench:percentiles(first_call, First)
        ++ bench:percentiles(start_at_once, Burst).

start(PauseMs) ->
    timer:sleep(PauseMs),
    Before = erlang:monotonic_time(nanosecond),
    {ok, Ctx} = py_context:new(#{}),
    {ok, #{state := ready}} = py_context:info(Ctx),
    Ready = erlang:monotonic_time(nanosecond),
    {ok, 4.0} = py_context:call(Ctx, math, sqrt, [16]),
    Called = erlang:monotonic_time(nanosecond),
    ok = py_context:stop(Ctx),
    {Ready - Before, Called - Ready}.

%% Proportional set size: what each context adds, pages shared with its zygote
%% counted in parts.
memory() ->
    Pss = [pss(Ctx) || Ctx <- py_context_router:contexts()],
    [{pss_per_context, lists:sum(Pss) / length(Pss) / 1024, mib}].

pss(Ctx) ->
    {ok, #{os_pid := Pid}} = py_context:info(Ctx),
    {ok, Text} = file:read_file("/proc/" ++ integer_to_list(Pid) ++ "/smaps_rollup"),
    {match, [Kib]} = re:run(Text, "Pss:\\s+(\\d+) kB", [{capture, [1], list}]),
    list_to_integer(Kib).

%% From the segmentation fault's report to the next good answer.
recovery() ->
    {ok, Ctx} = py_context:new(#{restart => #{free => ?CRASHES + 1}}),
    {ok, 4.0} = py_context:call(Ctx, math, sqrt, [16]),
    Samples = [recover(Ctx) || _ <- lists:seq(1, ?CRASHES)],
    ok = py_context:stop(Ctx),
    {Report, Repair} = lists:unzip(Samples),
    bench:percentiles(crash_report, Report) ++ bench:percentiles(recovery, Repair).

recover(Ctx) ->
    timer:sleep(50),
    Start = erlang:monotonic_time(nanosecond),
    {error, {crashed, #{signal := sigsegv}}} =
        py_context:call(Ctx, os, kill, [os_pid(Ctx), 11]),
    Reported = erlang:monotonic_time(nanosecond),
    {ok, 4.0} = py_context:call(Ctx, math, sqrt, [16]),
    {Reported - Start, erlang:monotonic_time(nanosecond) - Reported}.

os_pid(Ctx) ->
    {ok, Pid} = py_context:call(Ctx, os, getpid, []),
    Pid.
