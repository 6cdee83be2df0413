%% SPDX-License-Identifier: Apache-2.0
%% @doc Values: binaries of several sizes, lists and maps, there and back.
%%
%% `MB/s each way' is the size (in millions of bytes) by half the time of a
%% round trip: how fast it went there, if it came back as fast.
-module(bench_data).

-export([binaries/1, collections/1, flagged/0, flagged_vm/1]).

%% The flags by which the VM keeps large blocks instead of giving them back.
-define(FLAGS, ["+MBsbct", "262144", "+MBlmbcs", "524288", "+MBsmbcs", "131072"]).

-type speed() :: {Name :: string(), Size :: pos_integer(), MbPerS :: float()}.

%%% Binaries

%% @doc Binaries, over the lane and the socketpair, a `{packet, 4}' port, and
%% as copies in memory.
-spec binaries(bench_ways:ways()) -> bench:part().
binaries(Ways) ->
    Sizes = [1 bsl 10, 1 bsl 16, 1 bsl 20, 1 bsl 24, 1 bsl 26],
    Contexts = [{atom_to_list(Way), prepared(bench_ways:context(Ways, {Way, 1}))}
                || Way <- [lane, socket]],
    Speeds = speeds(Contexts, Sizes),
    #{tables => [binary_table("binaries, echoed: MB/s each way", Sizes, Speeds)],
      keys => keys("", Speeds)}.

prepared(Context) ->
    ok = py:exec(Context, "def bench_echo(x): return x"),
    Context.

echo(Context, Value) ->
    {ok, _} = py:call(Context, '__main__', bench_echo, [Value]).

rounds() ->
    bench_lib:pick(3, 2).

%% Round after round, size by size, everything that is compared.
-spec speeds([{string(), pid()}], [pos_integer()]) -> [speed()].
speeds(Contexts, Sizes) ->
    Port = bench_os:open_echo(),
    Rounds = [[speed(Thing, Size, Port) || Size <- Sizes,
                                           Thing <- bench_lib:rotate(R, Contexts ++ [port, memcpy])]
              || R <- lists:seq(1, rounds())],
    true = port_close(Port),
    [{Name, Size, bench_lib:median([S || Round <- Rounds, {N, Z, S} <- Round, N =:= Name,
                                         Z =:= Size])}
     || {Name, Size, _} <- lists:usort(fun({A, B, _}, {C, D, _}) -> {A, B} =< {C, D} end,
                                       hd(Rounds))].

%% Not valid UTF-8, so that it becomes `bytes' in Python.
speed(memcpy, Size, _) ->
    {"memcpy", Size, Size * 1000 / bench_os:memcpy_ns(Size, bench_lib:pick(50, 20))};
speed(port, Size, Port) ->
    Data = binary:copy(<<255>>, Size),
    {"port", Size, each_way(Size, fun() -> bench_os:echo(Port, Data) end)};
speed({Name, Context}, Size, _) ->
    Data = binary:copy(<<255>>, Size),
    {Name, Size, bench_lib:alone(fun() -> each_way(Size, fun() -> echo(Context, Data) end) end)}.

each_way(Size, Fun) ->
    2 * Size * 1000 / bench_lib:mean_ns(bench_lib:pick(150, 60), bench_lib:pick(2, 1), Fun).

get(Name, Size, Speeds) ->
    hd([S || {N, Z, S} <- Speeds, N =:= Name, Z =:= Size] ++ [none]).

ratio(none, _) -> none;
ratio(_, none) -> none;
ratio(A, B) -> A / B.

binary_table(Title, Sizes, Speeds) ->
    Row = fun(Size) ->
              [Lane, Socket, Port, Copy] = [get(N, Size, Speeds)
                                            || N <- ["lane", "socket", "port", "memcpy"]],
              {size_name(Size), [Lane, Socket, Port, Copy, ratio(Lane, Socket), ratio(Lane, Port),
                            ratio(Lane, Copy)]}
          end,
    #{title => Title,
      notes => [[bench_lib:rounds_text(rounds()), "; MB/s each way = size / half the round trip; "
                 "memcpy = size / time of a copy"]],
      columns => [{"lane", mb}, {"socketpair", mb}, {"{packet,4}", mb}, {"memcpy", mb},
                  {"/ socketpair", ratio}, {"/ {packet,4}", ratio}, {"/ memcpy", ratio}],
      rows => [Row(Size) || Size <- Sizes]}.

size_name(Size) when Size >= 1 bsl 20 -> integer_to_list(Size bsr 20) ++ " MiB";
size_name(Size) -> integer_to_list(Size bsr 10) ++ " KiB".

keys(Suffix, Speeds) ->
    Key = fun(Name) -> list_to_atom(Name ++ Suffix) end,
    #{Key("mib_1_to_port") => ratio(get("lane", 1 bsl 20, Speeds), get("port", 1 bsl 20, Speeds)),
      Key("mib_64_to_memcpy") =>
          ratio(get("lane", 1 bsl 26, Speeds), get("memcpy", 1 bsl 26, Speeds))}.

%%% The same in a VM that keeps large blocks

%% @doc Large binaries in a second VM with the flags for them.
-spec flagged() -> bench:part().
flagged() ->
    Paths = lists:append([["-pa", P] || P <- [filename:absname(filename:dirname(code:which(M)))
                                              || M <- [py, ?MODULE]]]),
    Folder = filename:dirname(bench_os:program("baseline")),
    Call = io_lib:format("bench_data:flagged_vm(~0p).", [Folder]),
    Args = ["--", "erl", "-noshell"] ++ ?FLAGS ++ Paths ++ ["-eval", lists:flatten(Call)],
    Out = bench_os:run(filename:absname("priv/terrarium"), Args, 120000),
    {ok, Tokens, _} = erl_scan:string(binary_to_list(Out)),
    {ok, Speeds} = erl_parse:parse_term(Tokens),
    Sizes = large(),
    #{tables => [binary_table(["the same with ", lists:join(" ", ?FLAGS)], Sizes, Speeds)],
      keys => keys("_flags", Speeds)}.

large() ->
    [1 bsl 20, 1 bsl 24, 1 bsl 26].

%% @private
%% @doc In that VM: writes its speeds as a term.
-spec flagged_vm(string()) -> no_return().
flagged_vm(Folder) ->
    Status = try
                 ok = logger:set_primary_config(level, error),
                 ok = bench_os:use(Folder),
                 ok = application:set_env(terrarium, start_contexts, false),
                 {ok, _} = application:ensure_all_started(terrarium),
                 Ways = bench_ways:open(),
                 Contexts = [{atom_to_list(Way), prepared(bench_ways:context(Ways, {Way, 1}))}
                             || Way <- [lane, socket]],
                 io:format("~0p.~n", [speeds(Contexts, large())])
             of
                 ok -> 0
             catch
                 Class:Reason:Stack ->
                     io:format(standard_error, "~p~n", [{Class, Reason, Stack}]),
                     1
             end,
    init:stop(Status),
    receive after infinity -> ok end.

%%% Lists and maps

%% @doc Lists and maps, there and back, beside what the VM needs to write and
%% read them in its external format.
-spec collections(bench_ways:ways()) -> bench:part().
collections(Ways) ->
    Contexts = [{Way, prepared(bench_ways:context(Ways, {Way, 1}))} || Way <- [lane, socket]],
    Rows = [collection(Contexts, Title, Elements, Value)
            || {Title, Elements, Value} <- values()],
    #{tables => [#{title => "lists and maps, there and back",
                   notes => [[bench_lib:rounds_text(rounds()),
                              "; vm alone: term_to_binary and binary_to_term, once each"],
                             "ns per element: of the lane"],
                   columns => [{"lane", us}, {"socketpair", us}, {"vm alone", us},
                               {"ns / element", plain}, {"lane / vm", ratio}],
                   rows => Rows}],
      keys => #{}}.

values() ->
    Keys = [<<"id">>, <<"name">>, <<"size">>, <<"price">>, <<"active">>, <<"tags">>, <<"x">>,
            <<"y">>],
    Map = fun(I) ->
              maps:from_list(lists:zip(Keys, [I, <<"item">>, I * 3, I / 7, I rem 2 =:= 0,
                                              [<<"a">>, <<"b">>], -I, <<"text of a value">>]))
          end,
    [{"10,000 small integers", 10000, lists:seq(1, 10000)},
     {"10,000 floats", 10000, [I / 7 || I <- lists:seq(1, 10000)]},
     {"1,000 maps of 8 keys", 1000, [Map(I) || I <- lists:seq(1, 1000)]}].

collection(Contexts, Title, Elements, Value) ->
    Alone = fun() -> binary_to_term(term_to_binary(Value)) end,
    Things = [{Way, fun() -> echo(C, Value) end} || {Way, C} <- Contexts] ++ [{vm, Alone}],
    Rounds = [[{Name, bench_lib:alone(fun() ->
                          bench_lib:mean_ns(bench_lib:pick(100, 50), 3, Fun)
                      end)} || {Name, Fun} <- bench_lib:rotate(R, Things)]
              || R <- lists:seq(1, rounds())],
    [Lane, Socket, Vm] = [bench_lib:median([proplists:get_value(N, R) || R <- Rounds])
                          || N <- [lane, socket, vm]],
    {Title, [Lane, Socket, Vm, Lane / Elements, Lane / Vm]}.
