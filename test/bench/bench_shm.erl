%% SPDX-License-Identifier: Apache-2.0
%% @doc A large value that Python reads: as a segment of shared memory, and as a
%% binary, beside what the memory itself can do.
-module(bench_shm).

-export([run/1]).

-define(SIZES, [1 bsl 16, 1 bsl 20, 1 bsl 26]).

%% @doc Over the first context of the lane.
-spec run(bench_ways:ways()) -> bench:part().
run(Ways) ->
    Context = bench_ways:context(Ways, {lane, 1}),
    ok = py:exec(Context, "import erlang\ndef bench_publish(x): return erlang.SharedMemory(x)"),
    Rows = [row(Context, Size) || Size <- ?SIZES],
    {_, [Segment, Binary | _]} = lists:last(Rows),
    #{tables => [table(Rows)],
      keys => #{shm_pass_64_mib_ns => Segment, shm_to_binary_64_mib => Binary / Segment}}.

table(Rows) ->
    #{title => "a large value for Python: how long it takes",
      notes => ["given to len(), as a segment that Python has not open, or as a binary;",
                "a new segment of it, made in Erlang, or in Python and read in Erlang"],
      columns => [{"segment", us}, {"binary", us}, {"new, Erlang", us}, {"new, Python", us},
                  {"memcpy", us}],
      rows => [{label(Size), Times} || {Size, Times} <- Rows]}.

label(Size) when Size < 1 bsl 20 -> io_lib:format("~b KiB", [Size bsr 10]);
label(Size) -> io_lib:format("~b MiB", [Size bsr 20]).

row(Context, Size) ->
    Data = binary:copy(<<255>>, Size),
    {ok, Shm} = py_shm:new(Data),
    {Size, [time(fun() -> {ok, Size} = py:call(Context, builtins, len, [Shm]) end),
            time(fun() -> {ok, Size} = py:call(Context, builtins, len, [Data]) end),
            time(fun() -> {ok, _} = py_shm:new(Data) end),
            time(fun() -> published(Context, Shm) end),
            bench_os:memcpy_ns(Size, bench_lib:pick(50, 20))]}.

%% From what is there already, so that only the publishing is new.
published(Context, Shm) ->
    {ok, Made} = py:call(Context, '__main__', bench_publish, [Shm]),
    {ok, _} = py_shm:to_binary(Made).

%% Nanoseconds, the median of some.
time(Fun) ->
    bench_lib:median([once(Fun) || _ <- lists:seq(1, bench_lib:pick(60, 20))]).

once(Fun) ->
    true = erlang:garbage_collect(),
    Start = erlang:monotonic_time(),
    _ = Fun(),
    erlang:convert_time_unit(erlang:monotonic_time() - Start, native, nanosecond).
