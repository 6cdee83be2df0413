%% SPDX-License-Identifier: Apache-2.0
%% @doc Many callers: throughput, requests sent ahead, what it costs in processor
%% time, and whether everybody gets a share.
-module(bench_load).

-export([throughput/1, casts/1, cost/1, fairness/1]).

-include("py_wire.hrl").

-define(WINDOW, 64).

%% On one context; on two, each caller on that of its scheduler; on two, each
%% caller on its own, whatever scheduler it runs on.
callers(Ways, Way, one) -> fun(_) -> bench_ways:enter(Way, 1, Ways) end;
callers(Ways, Way, two) -> fun(_) -> bench_ways:enter(Way, routed, Ways) end;
callers(Ways, Way, crossed) -> fun(I) -> bench_ways:enter(Way, 1 + I rem 2, Ways) end.

%%% Throughput

%% @doc Calls per second against callers, on one context and on two.
-spec throughput(bench_ways:ways()) -> bench:part().
throughput(Ways) ->
    Cases = [{Way, Contexts, N} || Contexts <- [one, two], N <- counts(), Way <- [lane, socket]],
    Ms = bench_lib:pick(300, 150),
    Rounds = [[{Case, element(1, bench_lib:load(N, Ms, callers(Ways, Way, Contexts)))}
               || {Way, Contexts, N} = Case <- bench_lib:rotate(Round, Cases)]
              || Round <- lists:seq(1, rounds())],
    Rates = maps:from_list([{Case, bench_lib:median([proplists:get_value(Case, R) || R <- Rounds])}
                            || Case <- Cases]),
    #{tables => [throughput_table(Rates)],
      keys => #{rate_64_on_2 => maps:get({lane, two, 64}, Rates),
                rate_64_on_1 => maps:get({lane, one, 64}, Rates)},
      throughput => [[N | [maps:get({Way, Contexts, N}, Rates)
                           || Contexts <- [one, two], Way <- [lane, socket]]] || N <- counts()]}.

rounds() ->
    bench_lib:pick(3, 1).

counts() ->
    [1, 2, 4, 8, 16, 64, 256].

throughput_table(Rates) ->
    Row = fun(N) ->
              Values = [[maps:get({lane, C, N}, Rates), maps:get({socket, C, N}, Rates),
                         maps:get({lane, C, N}, Rates) / maps:get({socket, C, N}, Rates)]
                        || C <- [one, two]],
              {integer_to_list(N) ++ " callers", lists:append(Values)}
          end,
    #{title => "calls per second against callers",
      notes => [[bench_lib:rounds_text(rounds()),
                 "; each caller waits for its answer before it calls again"],
                "two contexts: the router sends a caller to that of its scheduler"],
      columns => [{"1 ctx: lane", count}, {"socketpair", count}, {"ratio", ratio},
                  {"2 ctx: lane", count}, {"socketpair", count}, {"ratio", ratio}],
      rows => [Row(N) || N <- counts()]}.

%%% Requests sent ahead

%% @doc One process that has 64 requests under way: it submits 64, then takes
%% their answers.
-spec casts(bench_ways:ways()) -> bench:part().
casts(Ways) ->
    Names = bench_ways:names(),
    Rounds = [[{Way, cast_rate(Ways, Way)} || Way <- bench_lib:rotate(R, Names)]
              || R <- lists:seq(1, 2 * rounds() + 1)],
    Rates = [{Way, bench_lib:median([proplists:get_value(Way, R) || R <- Rounds])}
             || Way <- Names],
    Socket = proplists:get_value(socket, Rates),
    #{tables => [#{title => "one process with 64 requests under way",
                   notes => [[bench_lib:rounds_text(length(Rounds)),
                              "; 64 are submitted, then their answers are taken"]],
                   columns => [{"requests/s", count}, {"/ socketpair", ratio}],
                   rows => [{bench_ways:title(Way), [Rate, Rate / Socket]}
                            || {Way, Rate} <- Rates]}],
      keys => #{casts => proplists:get_value(lane, Rates)}}.

cast_rate(Ways, Way) ->
    {ready, Port, _, Limits, _} = py_registry:find(bench_ways:context(Ways, {Way, 1})),
    bench_lib:alone(fun() ->
        Ns = bench_lib:mean_ns(bench_lib:pick(400, 200), 10, fun() -> window(Port, Limits) end),
        ?WINDOW * 1.0e9 / Ns
    end).

window(Port, Limits) ->
    Tickets = [py_request:submit(Port, ?FRAME_CALL, 0, {math, sqrt, [16], #{}})
               || _ <- lists:seq(1, ?WINDOW)],
    lists:foreach(fun(Ticket) ->
                      {answer, ?FRAME_RESULT, _} =
                          py_request:collect(Port, Ticket, 30000, Limits)
                  end, Tickets).

%%% What it costs

%% @doc Processor time of the VM and of the helpers, how busy the schedulers
%% were, and what share of the calls was answered while the caller polled.
-spec cost(bench_ways:ways()) -> bench:part().
cost(Ways) ->
    _ = erlang:system_flag(scheduler_wall_time, true),
    Rows = [cost(Ways, Way, N, Contexts)
            || {N, Contexts} <- [{1, one}, {64, one}, {64, two}, {64, crossed}],
               Way <- bench_ways:names()],
    _ = erlang:system_flag(scheduler_wall_time, false),
    Spun = hd([S || {{lane, 1, one}, [_, _, _, _, S | _]} <- Rows]),
    #{tables => [#{title => "what calls cost",
                   notes => ["callers, contexts; crossed: two contexts, each caller bound to one",
                             "processor time of all threads, per million calls",
                             "schedulers: share of the time that they ran something; polling "
                             "counts as that",
                             "in spin: calls answered while the caller polled; lost: polled for "
                             "in vain"],
                   columns => [{"calls/s", count}, {"VM cpu", cpu}, {"helper cpu", cpu},
                               {"schedulers", percent}, {"in spin", percent}, {"lost", percent},
                               {"bells/call", ratio_plain}],
                   rows => [{label(Case), Values} || {Case, Values} <- Rows]}],
      keys => #{spun_share => Spun / 100}}.

label({Way, N, Contexts}) ->
    io_lib:format("~b, ~s: ~ts", [N, Contexts, bench_ways:title(Way)]).

cost(Ways, Way, N, Contexts) ->
    Used = maps:get(Way, Ways),
    Pids = [list_to_integer(os:getpid()) | bench_ways:os_pids(Used)],
    Before = state(Used, Pids),
    {Rate, _} = bench_lib:load(N, bench_lib:pick(1000, 300), callers(Ways, Way, Contexts)),
    After = state(Used, Pids),
    {{Way, N, Contexts}, [Rate | differences(Before, After)]}.

state(Contexts, Pids) ->
    {bench_ways:counters(Contexts), bench_os:cpu_ns(Pids), wall_times()}.

wall_times() ->
    Online = erlang:system_info(schedulers_online),
    Times = [{Active, Total} || {Id, Active, Total} <- erlang:statistics(scheduler_wall_time),
                                Id =< Online],
    {Active, Total} = lists:unzip(Times),
    {lists:sum(Active), lists:sum(Total)}.

differences({Counters0, Cpu0, {Active0, Total0}}, {Counters1, Cpu1, {Active1, Total1}}) ->
    Grown = fun(Key) -> maps:get(Key, Counters1, 0) - maps:get(Key, Counters0, 0) end,
    [Vm | Helpers] = lists:zipwith(fun(A, B) -> (B - A) / 1.0e9 end, Cpu0, Cpu1),
    Calls = max(1, Grown(requests)),
    [Vm * 1.0e6 / Calls, lists:sum(Helpers) * 1.0e6 / Calls,
     100 * (Active1 - Active0) / max(1, Total1 - Total0),
     100 * Grown(spun) / Calls, 100 * Grown(spin_lost) / Calls, Grown(bells) / Calls].

%%% Fairness

%% @doc The shares of 64 callers on one context; and a caller on a context of
%% its own, alone and beside a context that 64 others keep busy.
-spec fairness(bench_ways:ways()) -> bench:part().
fairness(Ways) ->
    Ms = bench_lib:pick(1500, 500),
    Shares = [shares(Ways, Way, Ms) || Way <- [lane, socket]],
    Quiet = [{Way, Busy, quiet(Ways, Way, Busy, Ms)}
             || Way <- [lane, socket], Busy <- [false, true]],
    [{_, [_, _, _, Spread]} | _] = Shares,
    #{tables => [#{title => "fairness: 64 callers on one context",
                   notes => ["calls of each during the same time"],
                   columns => [{"fewest", count}, {"median", count}, {"most", count},
                               {"most / fewest", ratio}],
                   rows => Shares},
                 #{title => "a caller on a context of its own",
                   notes => ["busy: 64 callers on another context, on the same cores"],
                   columns => [{"p50", us}, {"p99", us}, {"calls/s", count}],
                   rows => [{[bench_ways:title(Way), beside(Busy)], Values}
                            || {Way, Busy, Values} <- Quiet]}],
      keys => #{fairness => Spread}}.

beside(false) -> ", alone";
beside(true) -> ", beside a busy one".

shares(Ways, Way, Ms) ->
    {_, Counts} = bench_lib:load(64, Ms, callers(Ways, Way, one)),
    {Fewest, Most} = {lists:min(Counts), lists:max(Counts)},
    {bench_ways:title(Way),
     [Fewest, bench_lib:median(Counts), Most, Most / max(1, Fewest)]}.

quiet(Ways, Way, false, Ms) ->
    quiet(Ways, Way, Ms);
quiet(Ways, Way, true, Ms) ->
    Self = self(),
    {Pid, Ref} = spawn_monitor(fun() ->
        Self ! {busy, self()},
        exit({load, bench_lib:load(64, Ms + 400, callers(Ways, Way, one))})
    end),
    receive {busy, Pid} -> timer:sleep(200) end,
    Values = quiet(Ways, Way, Ms),
    receive {'DOWN', Ref, process, Pid, {load, _}} -> Values end.

quiet(Ways, Way, Ms) ->
    bench_lib:alone(fun() ->
        {Samples, Rate} = bench_lib:samples_for(Ms, 1000000, bench_ways:enter(Way, 2, Ways)),
        D = bench_lib:distribution(Samples),
        [bench_lib:at(5000, D), bench_lib:at(9900, D), Rate]
    end).
