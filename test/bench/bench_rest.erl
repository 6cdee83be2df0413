%% SPDX-License-Identifier: Apache-2.0
%% @doc The two ends of the scale: a machine on which nothing happens, and one
%% on which every core is busy with something else.
-module(bench_rest).

-export([idle/0, hogs/1]).

-define(CONTEXTS, 8).

%%% Idle

%% @doc What eight contexts use that are left alone, beside the same VM before
%% they were started.
-spec idle() -> bench:part().
idle() ->
    Vm = list_to_integer(os:getpid()),
    Ms = bench_lib:pick(10000, 2000),
    timer:sleep(1500),
    [Empty] = bench_os:cpu_during(Ms, [Vm]),
    Contexts = [begin {ok, C} = py_context:new(#{}), C end || _ <- lists:seq(1, ?CONTEXTS)],
    _ = [{ok, 4.0} = py:call(C, math, sqrt, [16]) || C <- Contexts, _ <- lists:seq(1, 1000)],
    timer:sleep(1000),
    [Full | Helpers] = bench_os:cpu_during(Ms, [Vm | bench_ways:os_pids(Contexts)]),
    _ = [ok = py_context:stop(C) || C <- Contexts],
    Percent = fun(Ns) -> Ns / (Ms * 1.0e6) * 100 end,
    Used = Percent(max(0, Full - Empty) + lists:sum(Helpers)),
    #{tables => [#{title => "idle: eight contexts, each called 1,000 times, then left alone",
                   notes => [io_lib:format("during ~b s; percent of one core", [Ms div 1000])],
                   columns => [{"% of a core", fine}],
                   rows => [{"VM before the contexts", [Percent(Empty)]},
                            {"VM with the contexts", [Percent(Full)]},
                            {"the eight helpers", [Percent(lists:sum(Helpers))]},
                            {"what the contexts add", [Used]}]}],
      keys => #{idle_percent => Used}}.

%%% Hogs

%% @doc One caller, while each core has a program that never rests.
-spec hogs(bench_ways:ways()) -> bench:part().
hogs(Ways) ->
    Names = bench_ways:names(),
    Bouncer = spawn_link(fun bounce/0),
    Things = [{Way, way(Ways, Way)} || Way <- Names]
        ++ [{process, fun() -> sampled(fun() -> Bouncer ! self(), receive pong -> ok end end) end},
            {c_block, fun in_c/0}],
    Rounds = bench_os:with_hogs(fun() ->
        [[{Name, bench_lib:alone(Fun)} || {Name, Fun} <- bench_lib:rotate(R, Things)]
         || R <- lists:seq(1, rounds())]
    end),
    unlink(Bouncer),
    exit(Bouncer, kill),
    All = [{Name, together(Name, Rounds)} || {Name, _} <- Things],
    P50 = fun(Name) -> bench_lib:at(5000, element(1, proplists:get_value(Name, All))) end,
    Rate = fun(Name) -> element(2, proplists:get_value(Name, All)) end,
    #{tables => [table(All, P50(socket), Rate(socket))],
      keys => #{hogs_p50_ratio => P50(lane) / P50(socket),
                hogs_mean_ratio => Rate(socket) / Rate(lane)}}.

rounds() ->
    bench_lib:pick(3, 2).

bounce() ->
    receive From -> From ! pong end,
    bounce().

way(Ways, Way) ->
    fun() ->
        sampled(bench_ways:enter(Way, 1, Ways))
    end.

sampled(Fun) ->
    Ms = bench_lib:pick(700, 300),
    {Samples, Rate} = bench_lib:samples_for(Ms, 1000000, Fun),
    {bench_lib:distribution(Samples), Rate}.

in_c() ->
    Samples = bench_os:round_trips("block", bench_lib:pick(2000, 500)),
    {bench_lib:distribution(Samples), 1.0e9 * length(Samples) / max(1, lists:sum(Samples))}.

together(Name, Rounds) ->
    {Distributions, Rates} = lists:unzip([proplists:get_value(Name, R) || R <- Rounds]),
    {bench_lib:merge(Distributions), bench_lib:median(Rates)}.

table(All, SocketP50, SocketRate) ->
    #{title => "one caller, with one hog per core",
      notes => [[bench_lib:rounds_text(rounds()),
                 "; a hog is a C program in an endless loop"],
                "ratios to the socketpair alone; of the mean time: below 1 is faster"],
      columns => [{"p50", us}, {"p90", us}, {"p99", us}, {"max", us}, {"calls/s", count},
                  {"p50 ratio", ratio}, {"mean ratio", ratio}],
      rows => [row(Name, Value, SocketP50, SocketRate) || {Name, Value} <- All]}.

row(Name, {Distribution, Rate}, SocketP50, SocketRate) ->
    [P50 | _] = Values = [bench_lib:at(S, Distribution) || S <- [5000, 9000, 9900, 10000]],
    {title(Name), Values ++ [Rate, P50 / SocketP50, SocketRate / Rate]}.

title(process) -> "BEAM process and back";
title(c_block) -> "C to C, socketpair, sleeping";
title(Way) -> bench_ways:title(Way).
