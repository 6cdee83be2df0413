%% SPDX-License-Identifier: Apache-2.0
%% @doc One caller: how long a call takes, over each way, beside what the
%% machine and the VM can do at best.  Everything is measured once per round,
%% so that a noisy moment hits all alike.
-module(bench_calls).

-export([run/1]).

%% A request of `math:sqrt' is that long.
-define(MESSAGE, 40).

%% @doc The tables, the figures, and for the picture the distributions.
-spec run(bench_ways:ways()) -> bench:part().
run(Ways) ->
    Echo = bench_os:open_echo(),
    Bouncer = spawn_link(fun bounce/0),
    Rounds = bench_os:with_driver(fun(Driver) ->
        Things = things(Ways, Driver, Echo, Bouncer),
        [one_round(bench_lib:rotate(N, Things)) || N <- lists:seq(1, rounds())]
    end),
    true = port_close(Echo),
    unlink(Bouncer),
    exit(Bouncer, kill),
    result(maps:from_list([{Name, together(Name, Rounds)} || Name <- order()]), in_python()).

%% Nanoseconds of the same call inside Python.
in_python() ->
    Out = bench_os:run("priv/terrarium_py", ["python", "test/bench/python_only.py"], 60000),
    binary_to_integer(string:trim(Out)).

rounds() ->
    bench_lib:pick(7, 3).

order() ->
    bench_ways:names() ++ [port_control, shm, c_spin, c_block, process, port_echo].

title(port_control) -> "port_control, echo driver";
title(shm) -> "C to C, shared memory, polling";
title(c_spin) -> "C to C, socketpair, polling";
title(c_block) -> "C to C, socketpair, sleeping";
title(process) -> "BEAM process and back";
title(port_echo) -> "{packet,4} port to C";
title(Way) -> bench_ways:title(Way).

%% What is measured in a round: `{Name, fun(Clock) -> {Distribution, Rate}}'.
things(Ways, Driver, Echo, Bouncer) ->
    Data = binary:copy(<<1>>, ?MESSAGE),
    Many = bench_lib:pick(50000, 20000),
    Few = bench_lib:pick(6000, 2000),
    [{lane, way(Ways, lane, Many)},
     {no_spin, way(Ways, no_spin, Few)},
     {socket, way(Ways, socket, Few)},
     {port_control, here(Many, fun() -> erlang:port_control(Driver, 1, Data) end)},
     {shm, in_c("shm", Many)},
     {c_spin, in_c("spin", Few)},
     {c_block, in_c("block", Few)},
     {process, here(Few, fun() -> Bouncer ! self(), receive pong -> ok end end)},
     {port_echo, port_echo(Echo, Few, Data)}].

bounce() ->
    receive From -> From ! pong end,
    bounce().

way(Ways, Way, N) ->
    fun(Clock) ->
        bench_lib:alone(fun() ->
            Call = bench_ways:enter(Way, 1, Ways),
            D = bench_lib:distribution(bench_lib:samples(N, Call), Clock),
            {D, bench_lib:rate(Call)}
        end)
    end.

here(N, Fun) ->
    fun(Clock) ->
        bench_lib:alone(fun() ->
            {bench_lib:distribution(bench_lib:samples(N, Fun), Clock), bench_lib:rate(Fun)}
        end)
    end.

in_c(What, N) ->
    fun(_) ->
        Samples = bench_os:round_trips(What, N),
        {bench_lib:distribution(Samples), 1.0e9 * length(Samples) / lists:sum(Samples)}
    end.

%% A port's data goes to its owner, so not in a process of its own.
port_echo(Echo, N, Data) ->
    Fun = fun() -> bench_os:echo(Echo, Data) end,
    fun(Clock) ->
        {bench_lib:distribution(bench_lib:samples(N, Fun), Clock), bench_lib:rate(Fun)}
    end.

one_round(Things) ->
    Clock = bench_lib:clock(),
    maps:from_list([{clock, Clock} | [{Name, Measure(Clock)} || {Name, Measure} <- Things]]).

together(Name, Rounds) ->
    {Distributions, Rates} = lists:unzip([maps:get(Name, R) || R <- Rounds]),
    {bench_lib:merge(Distributions), bench_lib:median(Rates)}.

%%% What came of it

result(All, Python) ->
    P50 = fun(Name) -> bench_lib:at(5000, element(1, maps:get(Name, All))) end,
    Rate = fun(Name) -> element(2, maps:get(Name, All)) end,
    Floor = 1.0e9 / Rate(port_control) + P50(shm),
    Keys = #{floor_ns => Floor,
             lane_to_floor => P50(lane) / Floor,
             socket_to_lane => P50(socket) / P50(lane),
             lane_p50_ns => P50(lane),
             python_call_ns => Python,
             socket_p50_ns => P50(socket),
             lane_p99_ns => bench_lib:at(9900, element(1, maps:get(lane, All))),
             lane_rate => Rate(lane),
             port_control_mean_ns => 1.0e9 / Rate(port_control),
             shm_p50_ns => P50(shm),
             c_block_p50_ns => P50(c_block),
             lane_rate_to_floor => Rate(lane) * Floor / 1.0e9},
    #{tables => [table(All, Floor, P50, Python)], keys => Keys,
      curves => [{title(Name), element(1, maps:get(Name, All))} || Name <- order()]}.

table(All, Floor, P50, Python) ->
    #{title => "one caller: py:call(math, sqrt, [16])",
      notes => [[bench_lib:rounds_text(rounds()),
                 ", everything once per round; the maximum is that of all"],
                "single calls, less what the clock takes; calls/s without looking at the clock",
                io_lib:format("floor = ~.2f us: mean of port_control, which is too short for the "
                              "clock, and p50 of shared memory", [Floor / 1000]),
                io_lib:format("in Python itself the call takes ~b ns", [Python])],
      columns => [{"p50", us}, {"p90", us}, {"p99", us}, {"p99.9", us}, {"max", us},
                  {"calls/s", count}, {"p50 / floor", ratio}, {"p50 / lane", ratio}],
      rows => [row(Name, maps:get(Name, All), Floor, P50(lane)) || Name <- order()]}.

row(Name, {Distribution, Rate}, Floor, Lane) ->
    P50 = bench_lib:at(5000, Distribution),
    Values = [bench_lib:at(Share, Distribution) || Share <- [5000, 9000, 9900, 9990, 10000]],
    {title(Name), Values ++ [Rate, P50 / Floor, P50 / Lane]}.
