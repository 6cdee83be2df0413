%% SPDX-License-Identifier: Apache-2.0
%% @doc How the benchmark measures: samples, shares, rates, medians.
%%
%% A distribution is a list of `{Share, Nanoseconds}', the share in 1/10000:
%% what so many of the calls were not slower than.  Rounds are put together
%% share by share, by their median; the maximum is that of all rounds.
-module(bench_lib).

-export([quick/0, pick/2, alone/1, samples/2, samples_for/3, clock/0]).
-export([distribution/1, distribution/2, at/2, merge/1, median/1, rotate/2]).
-export([rounds_text/1, rate/1, rate/2, load/3, mean_ns/3]).

-export_type([distribution/0]).

-type distribution() :: [{1..10000, number()}].

%% Longer than any part may take; then the benchmark fails.
-define(PATIENCE, 120000).
-define(BATCH, 1000).

%% @doc Is this the short run?
-spec quick() -> boolean().
quick() ->
    os:getenv("BENCH_QUICK", "0") =/= "0".

%% @doc The first in the whole run, the second in the short one.
-spec pick(T, T) -> T.
pick(Full, Quick) ->
    case quick() of
        true -> Quick;
        false -> Full
    end.

%% @doc Run in a fresh process, so that no round pays for another's garbage.
-spec alone(fun(() -> T)) -> T.
alone(Fun) ->
    {Pid, Ref} = spawn_monitor(fun() -> exit({done, Fun()}) end),
    receive
        {'DOWN', Ref, process, Pid, {done, Result}} -> Result;
        {'DOWN', Ref, process, Pid, Reason} -> error({measurement, Reason})
    after ?PATIENCE ->
        exit(Pid, kill),
        error(measurement_takes_too_long)
    end.

%%% Single calls

%% @doc So many calls one by one, in nanoseconds; a tenth more come before, to
%% warm up.  They are kept outside the heap, so as not to make work for the
%% collector that no caller would have.
-spec samples(pos_integer(), fun(() -> term())) -> [integer()].
samples(N, Fun) ->
    Kept = atomics:new(N, []),
    ok = fill(max(1, N div 10), N, Kept, Fun),
    ok = fill(N, N, Kept, Fun),
    [in_ns(atomics:get(Kept, I)) || I <- lists:seq(1, N)].

fill(0, _, _, _) ->
    ok;
fill(Left, N, Kept, Fun) ->
    Before = erlang:monotonic_time(),
    Fun(),
    ok = atomics:put(Kept, Left, erlang:monotonic_time() - Before),
    fill(Left - 1, N, Kept, Fun).

%% @doc As many as are done in this time, at most so many; with the number per
%% second.
-spec samples_for(pos_integer(), pos_integer(), fun(() -> term())) -> {[integer()], float()}.
samples_for(Ms, Max, Fun) ->
    Kept = atomics:new(Max, []),
    Start = erlang:monotonic_time(),
    Until = Start + erlang:convert_time_unit(Ms, millisecond, native),
    {N, End} = fill_until(0, Max, Until, Kept, Fun),
    {[in_ns(atomics:get(Kept, I)) || I <- lists:seq(1, N)], N * 1.0e9 / in_ns(End - Start)}.

fill_until(N, Max, Until, Kept, Fun) ->
    Before = erlang:monotonic_time(),
    Fun(),
    After = erlang:monotonic_time(),
    ok = atomics:put(Kept, N + 1, After - Before),
    case After < Until andalso N + 1 < Max of
        true -> fill_until(N + 1, Max, Until, Kept, Fun);
        false -> {N + 1, After}
    end.

in_ns(Native) ->
    erlang:convert_time_unit(Native, native, nanosecond).

%% @doc What a sample of nothing takes: to be subtracted from the others.
-spec clock() -> integer().
clock() ->
    alone(fun() -> median(samples(20000, fun() -> ok end)) end).

%%% Distributions

shares() ->
    [10, 50] ++ lists:seq(100, 9900, 100) ++ lists:seq(9910, 9990, 10) ++ [9995, 9999, 10000].

%% @doc The distribution of samples.
-spec distribution([integer()]) -> distribution().
distribution(Samples) ->
    distribution(Samples, 0).

%% @doc The same, each sample less what the clock takes.
-spec distribution([integer()], integer()) -> distribution().
distribution(Samples, Clock) ->
    Sorted = list_to_tuple(lists:sort(Samples)),
    N = tuple_size(Sorted),
    [{S, max(0, element(max(1, ceil(N * S / 10000)), Sorted) - Clock)} || S <- shares()].

%% @doc What this share of the calls was not slower than.
-spec at(1..10000, distribution()) -> number().
at(Share, Distribution) ->
    {Share, Ns} = lists:keyfind(Share, 1, Distribution),
    Ns.

%% @doc Several rounds in one.
-spec merge([distribution()]) -> distribution().
merge(Rounds) ->
    [{Share, together(Share, [at(Share, R) || R <- Rounds])} || {Share, _} <- hd(Rounds)].

together(10000, Values) -> lists:max(Values);
together(_, Values) -> median(Values).

%% @doc The median; of an even number of values the lower one.
-spec median([number(), ...]) -> number().
median(Values) ->
    lists:nth((length(Values) + 1) div 2, lists:sort(Values)).

%% @doc The list, beginning elsewhere each round, so that nobody is always
%% first.
-spec rotate(non_neg_integer(), [T]) -> [T].
rotate(N, List) ->
    {Front, Back} = lists:split(N rem length(List), List),
    Back ++ Front.

%% @doc For the notes of tables.
-spec rounds_text(pos_integer()) -> iodata().
rounds_text(1) -> "one round";
rounds_text(N) -> io_lib:format("medians of ~b rounds", [N]).

%%% Rates

%% @doc Calls per second of the calling process, during the usual time.
-spec rate(fun(() -> term())) -> float().
rate(Fun) ->
    rate(pick(250, 100), Fun).

%% @doc The same during this time.  The clock is read once per 1000 calls.
-spec rate(pos_integer(), fun(() -> term())) -> float().
rate(Ms, Fun) ->
    Start = erlang:monotonic_time(),
    Until = Start + erlang:convert_time_unit(Ms, millisecond, native),
    {Count, End} = batches(0, Until, Fun),
    Count * 1.0e9 / in_ns(End - Start).

batches(Count, Until, Fun) ->
    ok = times(?BATCH, Fun),
    case erlang:monotonic_time() of
        Now when Now < Until -> batches(Count + ?BATCH, Until, Fun);
        Now -> {Count + ?BATCH, Now}
    end.

times(0, _) -> ok;
times(N, Fun) -> Fun(), times(N - 1, Fun).

%% @doc Nanoseconds of one of a few slow calls: as many as fit in this time, at
%% least so many, after one that warms up.
-spec mean_ns(pos_integer(), pos_integer(), fun(() -> term())) -> float().
mean_ns(Ms, Least, Fun) ->
    Fun(),
    Start = erlang:monotonic_time(),
    Until = Start + erlang:convert_time_unit(Ms, millisecond, native),
    {N, End} = slow(0, Least, Until, Fun),
    in_ns(End - Start) / N.

slow(N, Least, Until, Fun) ->
    Fun(),
    case erlang:monotonic_time() of
        Now when Now < Until; N + 1 < Least -> slow(N + 1, Least, Until, Fun);
        Now -> {N + 1, Now}
    end.

%% @doc Calls of `N' processes at once during this time: per second of all
%% together, and how many each made.  `Enter' is given the number of its process
%% and says what to call.
-spec load(pos_integer(), pos_integer(), fun((pos_integer()) -> fun(() -> term()))) ->
    {float(), [non_neg_integer()]}.
load(N, Ms, Enter) ->
    alone(fun() -> load_here(N, Ms, Enter) end).

load_here(N, Ms, Enter) ->
    _ = process_flag(priority, high),
    Self = self(),
    Stop = atomics:new(1, []),
    Workers = [spawn_link(fun() -> worker(Self, Stop, Enter(I)) end) || I <- lists:seq(1, N)],
    _ = [receive {ready, W} -> ok end || W <- Workers],
    Start = erlang:monotonic_time(),
    _ = [W ! go || W <- Workers],
    receive after Ms -> ok end,
    ok = atomics:put(Stop, 1, 1),
    Took = in_ns(erlang:monotonic_time() - Start),
    Counts = [receive {counted, W, Count} -> Count end || W <- Workers],
    {lists:sum(Counts) * 1.0e9 / Took, Counts}.

worker(Parent, Stop, Fun) ->
    Fun(),
    Parent ! {ready, self()},
    receive go -> ok end,
    Parent ! {counted, self(), until_stopped(0, Stop, Fun)}.

%% A call counts when it was done before the end.
until_stopped(Count, Stop, Fun) ->
    Fun(),
    case atomics:get(Stop, 1) of
        0 -> until_stopped(Count + 1, Stop, Fun);
        _ -> Count
    end.
