%% SPDX-License-Identifier: Apache-2.0
%% @doc The benchmark: runs every part, prints a table, writes bench.json.
%%
%% A part returns a list of `{Name, Value, Unit}'; units are `ns', `us', `ms',
%% `per_s', `mb_per_s', `mib', `ratio'.  Absolute times say something about the
%% machine of that day; the ratios to the baselines of the same run are what
%% can be compared.
-module(bench).

-export([main/1, percentiles/2, rate/2, rate_here/1, seconds/0]).

-type figure() :: {atom(), number(), atom()}.
-export_type([figure/0]).

%% @doc Run with the folder of the compiled baseline programs, the file to
%% write, and the Python that they use.
-spec main([string()]) -> no_return().
main([Programs, File, Python]) ->
    Status = try run(Programs, File, Python) of
                 ok -> 0
             catch
                 Class:Reason:Stack ->
                     io:format("bench failed: ~p~n~p~n", [{Class, Reason}, Stack]),
                     1
             end,
    init:stop(Status),
    receive after infinity -> ok end.

run(Programs, File, Python) ->
    ok = logger:set_primary_config(level, error),
    {ok, _} = application:ensure_all_started(terrarium),
    Parts = [{"baselines of this run", fun() -> bench_base:run(Programs, Python) end},
             {"one caller", fun bench_calls:latency/0},
             {"many callers", fun bench_calls:throughput/0},
             {"casts", fun bench_calls:casts/0},
             {"binaries, echoed", fun() -> bench_calls:binaries(Programs) end},
             {"contexts", fun bench_life:run/0}],
    Results = [{Title, part(Title, Part)} || {Title, Part} <- Parts],
    Ratios = ratios(lists:append([Figures || {_, Figures} <- Results])),
    show("ratios", Ratios),
    All = Results ++ [{"ratios", Ratios}],
    ok = file:write_file(File, json(All)),
    io:format("~nwritten to ~ts~n", [File]).

part(Title, Part) ->
    Figures = Part(),
    show(Title, Figures),
    Figures.

%% What can be compared between machines.
ratios(Figures) ->
    Get = fun(Name) -> element(2, lists:keyfind(Name, 1, Figures)) end,
    [{call_to_sleeping_socket, Get(call_p50) / Get(socket_block_p50), ratio},
     {call_to_port_echo, Get(call_p50) / Get(port_echo_p50), ratio},
     {call_to_port_control, Get(call_p50) / Get(port_control_p50), ratio},
     {rate_64_to_rate_1, Get(callers_64) / Get(callers_1), ratio},
     {echo_64_mib_to_memcpy, Get(echo_64_mib) * 2 / Get(memcpy), ratio}].

%%% Helpers of the parts

%% @doc How long a part that counts calls runs; `BENCH_SECONDS' changes it.
-spec seconds() -> number().
seconds() ->
    list_to_integer(os:getenv("BENCH_SECONDS", "2")).

%% @doc p50, p90 and p99 of samples in nanoseconds, under names with this
%% prefix.
-spec percentiles(atom(), [integer()]) -> [figure()].
percentiles(Prefix, Samples) ->
    Sorted = lists:sort(Samples),
    N = length(Sorted),
    [{list_to_atom(atom_to_list(Prefix) ++ Suffix),
      lists:nth(max(1, round(N * Share)), Sorted), ns}
     || {Suffix, Share} <- [{"_p50", 0.5}, {"_p90", 0.9}, {"_p99", 0.99}]].

%% @doc Run `Work' in `N' processes until the time is up: calls per second of
%% all together.  `Work' is given the number of its process.
-spec rate(pos_integer(), fun((pos_integer()) -> term())) -> float().
rate(N, Work) ->
    Self = self(),
    Until = erlang:monotonic_time(millisecond) + round(seconds() * 1000),
    Start = erlang:monotonic_time(microsecond),
    Pids = [spawn_link(fun() -> Self ! {self(), loop(fun() -> Work(I) end, Until, 0)} end)
            || I <- lists:seq(1, N)],
    Count = lists:sum([receive {Pid, C} -> C end || Pid <- Pids]),
    Count * 1.0e6 / (erlang:monotonic_time(microsecond) - Start).

%% @doc The same in the calling process, for work that is tied to it.
-spec rate_here(fun(() -> term())) -> float().
rate_here(Work) ->
    Until = erlang:monotonic_time(millisecond) + round(seconds() * 1000),
    Start = erlang:monotonic_time(microsecond),
    Count = loop(Work, Until, 0),
    Count * 1.0e6 / (erlang:monotonic_time(microsecond) - Start).

loop(Work, Until, Count) ->
    Work(),
    case erlang:monotonic_time(millisecond) < Until of
        true -> loop(Work, Until, Count + 1);
        false -> Count + 1
    end.

%%% Output

show(Title, Figures) ->
    io:format("~n~ts~n", [Title]),
    lists:foreach(fun({Name, Value, Unit}) ->
                      io:format("  ~-28s ~14ts~n", [Name, value(Value, Unit)])
                  end, Figures).

value(V, ns) when V >= 10000 -> io_lib:format("~.1f us", [V / 1000]);
value(V, ns) -> io_lib:format("~b ns", [round(V)]);
value(V, us) -> io_lib:format("~.1f us", [float(V)]);
value(V, ms) -> io_lib:format("~.2f ms", [float(V)]);
value(V, per_s) -> io_lib:format("~b /s", [round(V)]);
value(V, mb_per_s) -> io_lib:format("~b MB/s", [round(V)]);
value(V, mib) -> io_lib:format("~.2f MiB", [float(V)]);
value(V, ratio) -> io_lib:format("~.2f x", [float(V)]).

json(Results) ->
    Machine = [{otp, list_to_binary(erlang:system_info(otp_release)), text},
               {schedulers, erlang:system_info(schedulers_online), count}],
    Parts = [[quote(Title), ": ", object(Figures)]
             || {Title, Figures} <- [{"machine", Machine} | Results]],
    ["{\n", lists:join(",\n", Parts), "\n}\n"].

object(Figures) ->
    Pairs = [["    ", quote(atom_to_list(Name)), ": {\"value\": ", number(Value),
              ", \"unit\": ", quote(atom_to_list(Unit)), "}"]
             || {Name, Value, Unit} <- Figures],
    ["{\n", lists:join(",\n", Pairs), "\n  }"].

number(V) when is_integer(V) -> integer_to_list(V);
number(V) when is_float(V) -> io_lib:format("~.4f", [V]);
number(V) when is_binary(V) -> quote(V).

quote(Text) -> [$", Text, $"].
