%% SPDX-License-Identifier: Apache-2.0
%% @doc Numbers about contexts: the driver's counters, what the system says
%% about a helper's process, and sums of both.
-module(py_context_stats).

-export([counters/1, add/2, process/1, used/1, rss/1, pss/1, summary/1, histogram/1]).

-export_type([counters/0]).

-type counters() :: #{atom() => non_neg_integer() | [non_neg_integer()]}.
%% By name; `latency' is a list of buckets, see {@link histogram/1}.

%% The first bucket holds what took less than 2^9 ns, see drv_latency.h.
-define(FIRST_BITS, 9).
%% Of the time that the system counts in; the same on all Linux.
-define(TICKS_PER_SECOND, 100).

%% In the order of drv_helper.h.
names() ->
    [requests, answers, errors, cancelled, interrupts, kills, unwanted, busy, pending,
     outstanding, bytes_in, bytes_out, spun, spin_lost, bells, callbacks, bulk_bytes,
     sends, stalls].

%% @doc The driver's counters of a port; without one there are none.
-spec counters(port() | none) -> counters().
counters(none) ->
    #{};
counters(Port) ->
    case py_port:stats(Port) of
        {ok, List} when is_list(List), length(List) > 19 ->
            {Values, Latency} = lists:split(length(names()), List),
            (maps:from_list(lists:zip(names(), Values)))#{latency => Latency};
        _ ->
            #{}
    end.

%% @doc The sums of both.
-spec add(counters(), counters()) -> counters().
add(A, B) ->
    maps:fold(fun(latency, V, Acc) ->
                      Acc#{latency => sum(V, maps:get(latency, Acc, []))};
                 (Key, V, Acc) ->
                      Acc#{Key => V + maps:get(Key, Acc, 0)}
              end, A, B).

sum([A | As], [B | Bs]) -> [A + B | sum(As, Bs)];
sum([], Bs) -> Bs;
sum(As, []) -> As.

%% @doc What the system says about a process: `rss' in bytes, `user_ms' and
%% `system_ms' of processor time; nothing where it has ended.
-spec process(non_neg_integer() | none) -> map().
process(none) ->
    #{};
process(OsPid) ->
    case {rss(OsPid), stat(OsPid)} of
        {Rss, {User, System}} when is_integer(Rss) ->
            #{rss => Rss, user_ms => User, system_ms => System};
        _ ->
            #{}
    end.

%% @doc The same of a helper that has ended, as its zygote says: all that it used, and
%% the most memory that it had in RAM.
-spec used(map() | none) -> map().
used(#{<<"rusage">> := #{<<"utime_us">> := User, <<"stime_us">> := System,
                         <<"maxrss_kb">> := Rss}}) ->
    #{rss => Rss * 1024, user_ms => User div 1000, system_ms => System div 1000};
used(_) ->
    #{}.

%% @doc The memory of a process that is in RAM, shared pages included.
-spec rss(non_neg_integer()) -> non_neg_integer() | none.
rss(OsPid) ->
    kilobytes(read(OsPid, "status"), <<"\nVmRSS:">>).

%% @doc The same with each shared page divided by how many share it.  The
%% kernel walks all pages for this.
-spec pss(non_neg_integer()) -> non_neg_integer() | none.
pss(OsPid) ->
    kilobytes(read(OsPid, "smaps_rollup"), <<"\nPss:">>).

kilobytes(Text, Label) ->
    case binary:split(Text, Label) of
        [_, Rest] ->
            [Number | _] = string:lexemes(Rest, " \t\n"),
            binary_to_integer(Number) * 1024;
        _ ->
            none
    end.

%% utime and stime are the 14th and 15th field; the second may hold anything.
stat(OsPid) ->
    case string:split(read(OsPid, "stat"), ")", trailing) of
        [_, Rest] ->
            Fields = string:lexemes(Rest, " "),
            {ms(lists:nth(12, Fields)), ms(lists:nth(13, Fields))};
        _ ->
            none
    end.

ms(Ticks) ->
    binary_to_integer(Ticks) * 1000 div ?TICKS_PER_SECOND.

%% Without a detour through the file server.
read(OsPid, Name) ->
    case file:open(["/proc/", integer_to_list(OsPid), "/", Name], [read, raw, binary]) of
        {ok, File} ->
            Text = case file:read(File, 8192) of
                       {ok, Data} -> Data;
                       _ -> <<>>
                   end,
            _ = file:close(File),
            Text;
        {error, _} ->
            <<>>
    end.

%% @doc One map for several contexts, from what `py_context:info/1' says of
%% each.
-spec summary([map()]) -> map().
summary(Infos) ->
    Total = lists:foldl(fun(#{total := T}, Acc) -> add(Acc, T) end, #{}, Infos),
    Keys = [requests, answers, errors, cancelled, interrupts, callbacks, bytes_in, bytes_out],
    Sum = maps:from_list([{K, maps:get(K, Total, 0)} || K <- Keys]),
    Lives = maps:from_list([{K, lists:sum([maps:get(K, I) || I <- Infos])}
                            || K <- [crashes, restarts, renewals]]),
    Now = maps:from_list([{K, lists:sum([maps:get(K, maps:get(process, I), 0) || I <- Infos])}
                          || K <- [rss, user_ms, system_ms]]),
    Queue = lists:sum([maps:get(pending, maps:get(stats, I), 0) || I <- Infos]),
    Latency = maps:get(latency, Total, []),
    maps:merge(maps:merge(Sum, Lives),
               Now#{contexts => length(Infos), queue => Queue, latency => histogram(Latency),
                    p50_us => percentile(50, Latency), p99_us => percentile(99, Latency),
                    ready => length([ready || #{state := ready} <- Infos])}).

%% @doc Buckets as `{BelowUs, Count}', from the shortest; empty ones are left
%% out, and the last bucket has the bound `infinity'.
-spec histogram([non_neg_integer()]) -> [{number() | infinity, pos_integer()}].
histogram(Buckets) ->
    [{bound(I, length(Buckets)), N} || {I, N} <- lists:enumerate(0, Buckets), N > 0].

bound(I, Size) when I =:= Size - 1 -> infinity;
bound(I, _) -> (1 bsl (I + ?FIRST_BITS)) / 1000.

%% The upper bound of the bucket in which it lies.
percentile(Percent, Buckets) ->
    case lists:sum(Buckets) of
        0 -> none;
        Sum -> reached(Sum * Percent / 100, histogram(Buckets))
    end.

reached(_, [{Bound, _}]) -> Bound;
reached(Left, [{Bound, N} | _]) when N >= Left -> Bound;
reached(Left, [{_, N} | Rest]) -> reached(Left - N, Rest).
