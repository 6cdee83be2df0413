%% SPDX-License-Identifier: Apache-2.0
%% @doc The life of contexts: start, memory, recovery.
-module(bench_life).

-export([run/0]).

%% @doc All of it.
-spec run() -> bench:part().
run() ->
    Starts = bench_lib:pick(40, 10),
    Crashes = bench_lib:pick(30, 10),
    {Spare, First} = lists:unzip([start(50) || _ <- lists:seq(1, Starts)]),
    {AtOnce, _} = lists:unzip([start(0) || _ <- lists:seq(1, Starts)]),
    {Report, Recovery} = recovery(Crashes),
    #{tables => [#{title => "the life of a context",
                   notes => [io_lib:format("~b starts, ~b crashes", [Starts, Crashes])],
                   columns => [{"p50", ms}, {"p90", ms}, {"max", ms}],
                   rows => [row("ready, from a spare process", Spare),
                            row("its first call", First),
                            row("ready, no pause between starts", AtOnce),
                            row("segmentation fault to report", Report),
                            row("report to next good answer", Recovery)]},
                 #{title => "memory of a context",
                   notes => ["proportional set size: pages shared with others count in parts"],
                   columns => [{"each", mib}],
                   rows => [{"mean of four contexts", [memory()]}]}],
      keys => #{}}.

row(Label, Samples) ->
    Distribution = bench_lib:distribution(Samples),
    {Label, [bench_lib:at(Share, Distribution) || Share <- [5000, 9000, 10000]]}.

%% From `py_context:new' until the context is ready, and its first call, which
%% pays for the pages that it is the first to touch.  The pause lets the zygote
%% fork the next spare, as it has in real life.
start(PauseMs) ->
    timer:sleep(PauseMs),
    Before = erlang:monotonic_time(nanosecond),
    {ok, Ctx} = py_context:new(#{}),
    {ok, #{state := ready}} = ready(Ctx),
    Ready = erlang:monotonic_time(nanosecond),
    {ok, 4.0} = py_context:call(Ctx, math, sqrt, [16]),
    Called = erlang:monotonic_time(nanosecond),
    ok = py_context:stop(Ctx),
    {Ready - Before, Called - Ready}.

ready(Ctx) ->
    ok = py_caller:await(Ctx, 10000),
    py_context:info(Ctx).

memory() ->
    Contexts = [begin {ok, C} = py_context:new(#{}), C end || _ <- lists:seq(1, 4)],
    _ = [{ok, 4.0} = py_context:call(C, math, sqrt, [16]) || C <- Contexts],
    Pss = [pss(Pid) || Pid <- bench_ways:os_pids(Contexts)],
    _ = [ok = py_context:stop(C) || C <- Contexts],
    lists:sum(Pss) / length(Pss) / 1024.

pss(Pid) ->
    {ok, Text} = file:read_file("/proc/" ++ integer_to_list(Pid) ++ "/smaps_rollup"),
    {match, [Kib]} = re:run(Text, "Pss:\\s+(\\d+) kB", [{capture, [1], list}]),
    list_to_integer(Kib).

%% From the segmentation fault to the report, and from there to the next good
%% answer.
recovery(Crashes) ->
    {ok, Ctx} = py_context:new(#{restart => #{free => Crashes + 1}}),
    {ok, 4.0} = py_context:call(Ctx, math, sqrt, [16]),
    Samples = [recover(Ctx) || _ <- lists:seq(1, Crashes)],
    ok = py_context:stop(Ctx),
    lists:unzip(Samples).

recover(Ctx) ->
    timer:sleep(50),
    {ok, Pid} = py_context:call(Ctx, os, getpid, []),
    Start = erlang:monotonic_time(nanosecond),
    {error, {crashed, #{signal := sigsegv}}} = py_context:call(Ctx, os, kill, [Pid, 11]),
    Reported = erlang:monotonic_time(nanosecond),
    {ok, 4.0} = py_context:call(Ctx, math, sqrt, [16]),
    {Reported - Start, erlang:monotonic_time(nanosecond) - Reported}.
