%% SPDX-License-Identifier: Apache-2.0
%% @doc The benchmark: runs every part, prints tables, ends with a verdict, and
%% writes the same as JSON, and data for the picture.
%%
%% Absolute figures say something about the machine of that day; the ratios to
%% the baselines of the same run are what can be compared.  docs/benchmarks.md
%% explains each.
-module(bench).

-export([main/1]).

-export_type([part/0]).

-type part() :: #{tables := [bench_out:table()], keys := #{atom() => number() | none},
                  curves => [{string(), bench_lib:distribution()}],
                  throughput => [[number()]]}.

%% @doc Run with the folder of the compiled programs, where data for the
%% picture goes too, and the file to write.
-spec main([string()]) -> no_return().
main([Folder, File]) ->
    Status = try run(Folder, File) of
                 ok -> 0
             catch
                 Class:Reason:Stack ->
                     io:format("bench failed: ~p~n~p~n", [{Class, Reason}, Stack]),
                     1
             end,
    init:stop(Status),
    receive after infinity -> ok end.

run(Folder, File) ->
    ok = logger:set_primary_config(level, error),
    ok = bench_os:use(Folder),
    ok = application:load(terrarium),
    ok = application:set_env(terrarium, start_contexts, false),
    {ok, _} = application:ensure_all_started(terrarium),
    Machine = machine(),
    _ = [io:format("~ts: ~ts~n", [K, V]) || {K, V} <- Machine],
    Idle = part(fun bench_rest:idle/0),
    Ways = bench_ways:open(),
    Parts = [Idle | [part(fun() -> Part(Ways) end) || Part <- parts()]],
    Keys = lists:foldl(fun(#{keys := K}, Acc) -> maps:merge(Acc, K) end, #{}, Parts),
    Claims = claims(Keys),
    ok = bench_out:verdict(Claims),
    Tables = lists:append([T || #{tables := T} <- Parts]),
    ok = file:write_file(File, bench_out:json(Machine, Tables, Keys, Claims)),
    _ = [ok = bench_out:curves(filename:join(Folder, "latency.dat"), C)
         || #{curves := C} <- Parts],
    _ = [ok = bench_out:throughput(filename:join(Folder, "throughput.dat"), T)
         || #{throughput := T} <- Parts],
    io:format("~nwritten to ~ts~n", [File]).

parts() ->
    [fun bench_calls:run/1, fun bench_load:throughput/1, fun bench_load:casts/1,
     fun bench_callbacks:run/1, fun bench_async:run/1, fun bench_load:cost/1,
     fun bench_load:fairness/1,
     fun bench_data:binaries/1, fun(_) -> bench_data:flagged() end,
     fun bench_data:collections/1, fun bench_rest:hogs/1,
     fun bench_services:run/1, fun bench_shm:run/1, fun bench_web:run/1,
     fun bench_reactor:run/1, fun(_) -> bench_remote:run() end,
     fun(_) -> bench_life:run() end, fun(_) -> bench_sandbox:run() end].

part(Fun) ->
    Start = erlang:monotonic_time(millisecond),
    Part = Fun(),
    lists:foreach(fun bench_out:show/1, maps:get(tables, Part)),
    io:format("  (~.1f s)~n", [(erlang:monotonic_time(millisecond) - Start) / 1000]),
    Part.

machine() ->
    Kernel = string:trim(read("/proc/sys/kernel/osrelease")),
    Load = string:trim(read("/proc/loadavg")),
    [{"processor", cpu_model()},
     {"cores", integer_to_list(erlang:system_info(logical_processors_available))},
     {"kernel", Kernel},
     {"otp", erlang:system_info(otp_release)},
     {"schedulers", integer_to_list(erlang:system_info(schedulers_online))},
     {"load before", Load},
     {"run", bench_lib:pick("whole", "quick")}].

cpu_model() ->
    case re:run(read("/proc/cpuinfo"), "model name\\s*: (.*)", [{capture, [1], list}]) of
        {match, [Model]} -> Model;
        nomatch -> "unknown"
    end.

read(File) ->
    case file:read_file(File) of
        {ok, Text} -> binary_to_list(Text);
        {error, _} -> "unknown"
    end.

%% What the design promises.
claims(Keys) ->
    [{Text, maps:get(Key, Keys, none), Unit, Sense, Target}
     || {Text, Key, Unit, Sense, Target} <-
            [{"one caller: lane p50 / (port_control + shared memory)", lane_to_floor, ratio,
              at_most, 3},
             {"one caller: socketpair p50 / lane p50", socket_to_lane, ratio, at_least, 6},
             {"one caller: p99 over the lane", lane_p99_ns, us, at_most, 100000},
             {"one caller: calls/s", lane_rate, count, at_least, 500000},
             {"64 callers on two contexts: calls/s", rate_64_on_2, count, at_least, 400000},
             {"64 requests under way: requests/s", casts, count, at_least, 600000},
             {"Python to Erlang and back: p50 / call p50", callback_to_call, ratio, at_most, 2},
             {"1 MiB echoed / {packet,4} port", mib_1_to_port, ratio, at_least, 3},
             {"64 MiB echoed, each way / memcpy", mib_64_to_memcpy, ratio, at_least, 0.25},
             {"the same with flags for large values", mib_64_to_memcpy_flags, ratio, at_least,
              0.25},
             {"one hog per core: lane p50 / socketpair p50", hogs_p50_ratio, ratio, at_most, 1},
             {"one hog per core: lane mean / socketpair mean", hogs_mean_ratio, ratio, at_most,
              1},
             {"runs of strangers' code / bwrap python3 -c", sandbox_to_bwrap, ratio, at_least, 10},
             {"a call at level default / trusted", sandbox_call_ratio, ratio, at_most, 1.2},
             {"eight idle contexts: share of one core", idle_percent, fine, at_most, 0.1},
             {"64 callers on one context: most / fewest calls", fairness, ratio, at_most, 3}]].
