%% SPDX-License-Identifier: Apache-2.0
%% @doc What a sandbox costs: starts, runs of strangers' code beside a fresh
%% interpreter in bubblewrap, memory, and calls, which it must not slow.
-module(bench_sandbox).

-export([run/0]).

-define(LEVELS, [trusted, default, strict]).
-define(CALLERS, 4).

%% @doc All of it.
-spec run() -> bench:part().
run() ->
    Starts = bench_lib:pick(40, 10),
    Forked = [{L, [start(L, 0, 20) || _ <- lists:seq(1, Starts)]} || L <- ?LEVELS],
    Spares = [{L, [start(L, 2, 150) || _ <- lists:seq(1, Starts)]} || L <- ?LEVELS],
    Runs = [{L, runs(L)} || L <- ?LEVELS],
    Forks = [{What, forks(How)} || {What, How} <- [{"fork and end", "none"},
                                                   {"fork, run 2 + 2 and end", "run"}]],
    Bwrap = bwrap(),
    Memory = [{L, memory(L)} || L <- ?LEVELS],
    Calls = [{L, call_ns(L)} || L <- ?LEVELS],
    #{tables => [starts(Starts, Forked, Spares), rates(Runs, Forks, Bwrap), costs(Memory, Calls)],
      keys => #{sandbox_runs_per_second => proplists:get_value(default, Runs),
                sandbox_to_bwrap => ratio(proplists:get_value(default, Runs), Bwrap),
                sandbox_call_ratio => proplists:get_value(default, Calls)
                                      / proplists:get_value(trusted, Calls)}}.

ratio(_, none) -> none;
ratio(A, B) -> A / B.

starts(Starts, Forked, Spares) ->
    #{title => "from nothing to the first answer, by level",
      notes => [io_lib:format("~b starts; a first start of a policy is not counted", [Starts])],
      columns => [{"p50", ms}, {"p90", ms}, {"max", ms}],
      rows => [row(L, "forked for it", S) || {L, S} <- Forked]
              ++ [row(L, "from a spare", S) || {L, S} <- Spares]}.

row(Level, How, Samples) ->
    Distribution = bench_lib:distribution(Samples),
    {io_lib:format("~s, ~s", [Level, How]),
     [bench_lib:at(Share, Distribution) || Share <- [5000, 9000, 10000]]}.

rates(Runs, Forks, Bwrap) ->
    #{title => "strangers' code: runs per second",
      notes => [io_lib:format("~b callers, each waits for its result: 2 + 2", [?CALLERS]),
                "bubblewrap: all namespaces, /usr read-only, python3 -I -c; the same Python",
                "fork: so often this machine forks and reaps the interpreter, not locked up"],
      columns => [{"runs/s", count}, {"to bwrap", ratio_plain}],
      rows => [{io_lib:format("py_sandbox:run, ~s", [L]), [R, ratio(R, Bwrap)]}
               || {L, R} <- Runs]
              ++ [{What, [R, ratio(R, Bwrap)]} || {What, R} <- Forks]
              ++ [{"bwrap python3 -c", [Bwrap, ratio(Bwrap, Bwrap)]}]}.

costs(Memory, Calls) ->
    #{title => "memory of a helper, and a call, by level",
      notes => ["proportional set size of each of eight; p50 of math.sqrt over the lane"],
      columns => [{"memory", mib}, {"call", us}],
      rows => [{atom_to_list(L), [proplists:get_value(L, Memory), proplists:get_value(L, Calls)]}
               || L <- ?LEVELS]}.

%%% Measuring

%% The pause lets the zygote fork what it keeps ahead.
start(Level, Ahead, PauseMs) ->
    Options = #{policy => policy(Level), ahead => Ahead, single_use => true,
                log_output => false},
    timer:sleep(PauseMs),
    Before = erlang:monotonic_time(nanosecond),
    {ok, C} = py_context:new(Options),
    {ok, 4} = py_context:eval(C, "2 + 2"),
    After = erlang:monotonic_time(nanosecond),
    ok = py_context:stop(C),
    After - Before.

%% Trusted ones have a policy as well, or there were no spares of their own.
policy(trusted) -> #{level => trusted, limits => #{memory => 1 bsl 40}};
policy(Level) -> Level.

runs(Level) ->
    Options = #{policy => Level, spares => 2 * ?CALLERS},
    {ok, _} = py_sandbox:run("2 + 2", Options),
    timer:sleep(500),
    Run = fun() -> {ok, #{value := 4}} = py_sandbox:run("2 + 2", Options) end,
    {Rate, _} = bench_lib:load(?CALLERS, bench_lib:pick(3000, 1500), fun(_) -> Run end),
    Rate.

%% As many at once as callers of the others.
forks(How) ->
    Ms = bench_lib:pick(2000, 1000),
    Args = ["python", "test/bench/forks.py", integer_to_list(Ms), How],
    Self = self(),
    Pids = [spawn_link(fun() ->
                               Out = bench_os:run("priv/terrarium_py", Args, 60000),
                               Self ! {self(), binary_to_integer(string:trim(Out))}
                       end) || _ <- lists:seq(1, ?CALLERS)],
    lists:sum([receive {Pid, N} -> N end || Pid <- Pids]) * 1000 / Ms.

bwrap() ->
    case os:find_executable("bwrap") of
        false -> none;
        Bwrap ->
            Run = fun() -> <<"4\n">> = bench_os:run(Bwrap, bwrap_args(), 60000) end,
            {Rate, _} = bench_lib:load(?CALLERS, bench_lib:pick(3000, 1500), fun(_) -> Run end),
            Rate
    end.

bwrap_args() ->
    ["--unshare-all", "--die-with-parent", "--ro-bind", "/usr", "/usr",
     "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
     "/usr/bin/python3", "-I", "-c", "print(2 + 2)"].

memory(Level) ->
    Contexts = [begin {ok, C} = py_context:new(#{policy => Level}), C end
                || _ <- lists:seq(1, 8)],
    _ = [{ok, 4.0} = py_context:call(C, math, sqrt, [16]) || C <- Contexts],
    Pss = [N || Pid <- bench_ways:os_pids(Contexts), N <- [py_context_stats:pss(Pid)],
                is_integer(N)],
    _ = [ok = py_context:stop(C) || C <- Contexts],
    lists:sum(Pss) / max(1, length(Pss)) / 1048576.

call_ns(Level) ->
    {ok, C} = py_context:new(#{policy => Level}),
    Call = fun() -> {ok, 4.0} = py_context:call(C, math, sqrt, [16]) end,
    _ = [Call() || _ <- lists:seq(1, 2000)],
    Samples = [begin
                   Before = erlang:monotonic_time(nanosecond),
                   _ = Call(),
                   erlang:monotonic_time(nanosecond) - Before
               end || _ <- lists:seq(1, bench_lib:pick(50000, 20000))],
    ok = py_context:stop(C),
    bench_lib:at(5000, bench_lib:distribution(Samples)).
