%% SPDX-License-Identifier: Apache-2.0
%% @doc What the benchmark writes: tables for people, JSON for programs, columns
%% for gnuplot.
%%
%% A table has a title, notes, columns (name and unit) and rows (label and
%% values); `none' is a value that there is not.  Times are in nanoseconds.
-module(bench_out).

-export([show/1, verdict/1, json/4, curves/2, throughput/2]).

-export_type([table/0, unit/0, claim/0]).

-type unit() :: us | count | ratio | ratio_plain | percent | fine | cpu | mb | plain | ms | mib.
-type table() :: #{title := iodata(), notes := [iodata()], columns := [{string(), unit()}],
                   rows := [{iodata(), [number() | none]}]}.
-type claim() :: {Text :: string(), Value :: number() | none, unit(), at_most | at_least,
                  Target :: number()}.

-define(LABEL, 32).

%%% For people

%% @doc Print a table.
-spec show(table()) -> ok.
show(#{title := Title, notes := Notes, columns := Columns, rows := Rows}) ->
    io:format("~n~ts~n", [Title]),
    _ = [io:format("  (~ts)~n", [Note]) || Note <- Notes],
    Widths = [max(11, length(Name) + 2) || {Name, _} <- Columns],
    Units = [Unit || {_, Unit} <- Columns],
    line("", [Name || {Name, _} <- Columns], Widths),
    lists:foreach(fun({Label, Values}) ->
                      line(Label, lists:zipwith(fun value/2, Values, Units), Widths)
                  end, Rows).

line(Label, Cells, Widths) ->
    Padded = [string:pad(Cell, Width, leading) || {Cell, Width} <- lists:zip(Cells, Widths)],
    io:format("  ~ts~ts~n", [string:pad(Label, ?LABEL), Padded]).

value(none, _) -> "-";
value(V, us) when V >= 1.0e6 -> io_lib:format("~.1f ms", [V / 1.0e6]);
value(V, us) when V >= 1.0e5 -> io_lib:format("~.1f us", [V / 1000]);
value(V, us) -> io_lib:format("~.2f us", [V / 1000]);
value(V, count) -> thousands(round(V));
value(V, ratio) -> io_lib:format("~.2f x", [float(V)]);
value(V, ratio_plain) -> io_lib:format("~.3f", [float(V)]);
value(V, percent) -> io_lib:format("~.1f %", [float(V)]);
value(V, fine) -> io_lib:format("~.3f %", [float(V)]);
value(V, cpu) -> io_lib:format("~.2f s", [float(V)]);
value(V, mb) -> thousands(round(V));
value(V, plain) -> io_lib:format("~.1f", [float(V)]);
value(V, ms) -> io_lib:format("~.2f ms", [V / 1.0e6]);
value(V, mib) -> io_lib:format("~.2f MiB", [float(V)]).

thousands(N) when N < 1000 -> integer_to_list(N);
thousands(N) -> [thousands(N div 1000), io_lib:format(",~3..0b", [N rem 1000])].

%% @doc Print what is claimed beside what was measured.
-spec verdict([claim()]) -> ok.
verdict(Claims) ->
    io:format("~nverdict~n", []),
    lists:foreach(fun({Text, Value, Unit, Sense, Target} = Claim) ->
                      io:format("  ~ts~ts ~ts~ts~n",
                                [string:pad(Text, 60), string:pad(value(Value, Unit), 12, leading),
                                 string:pad([sense(Sense), value(Target, Unit)], 16),
                                 string:uppercase(met(Claim))])
                  end, Claims).

sense(at_most) -> "  <= ";
sense(at_least) -> "  >= ".

met({_, none, _, _, _}) -> "not measured";
met({_, Value, _, at_most, Target}) when Value =< Target -> "met";
met({_, Value, _, at_least, Target}) when Value >= Target -> "met";
met(_) -> "not met".

%%% For programs

%% @doc Everything as JSON.
-spec json([{string(), iodata()}], [table()], #{atom() => number() | none}, [claim()]) ->
    iodata().
json(Machine, Tables, Keys, Claims) ->
    object([{"machine", object([{K, text(V)} || {K, V} <- Machine])},
            {"figures", object([{atom_to_list(K), number(V)}
                                || {K, V} <- lists:sort(maps:to_list(Keys))])},
            {"claims", array([claim(C) || C <- Claims])},
            {"tables", array([table(T) || T <- Tables])}]).

claim({Text, Value, Unit, Sense, Target} = Claim) ->
    object([{"claim", text(Text)}, {"value", number(Value)}, {"unit", text(unit(Unit))},
            {atom_to_list(Sense), number(Target)}, {"verdict", text(met(Claim))}]).

table(#{title := Title, notes := Notes, columns := Columns, rows := Rows}) ->
    object([{"title", text(Title)},
            {"notes", array([text(N) || N <- Notes])},
            {"columns", array([object([{"name", text(N)}, {"unit", text(unit(U))}])
                               || {N, U} <- Columns])},
            {"rows", array([object([{"label", text(Label)},
                                    {"values", array([number(V) || V <- Values])}])
                            || {Label, Values} <- Rows])}]).

%% The unit of the number itself, not of how it is shown.
unit(us) -> "ns";
unit(ms) -> "ns";
unit(count) -> "1";
unit(cpu) -> "s per million calls";
unit(mb) -> "MB/s";
unit(mib) -> "MiB";
unit(plain) -> "1";
unit(percent) -> "%";
unit(fine) -> "%";
unit(_) -> "ratio".

object(Pairs) -> ["{", lists:join(",\n", [[text(K), ": ", V] || {K, V} <- Pairs]), "}"].

array(Items) -> ["[", lists:join(",\n", Items), "]"].

number(none) -> "null";
number(V) when is_integer(V) -> integer_to_list(V);
number(V) -> float_to_list(V, [{decimals, 4}, compact]).

text(Text) ->
    Chars = unicode:characters_to_list(Text),
    [$", [escape(C) || C <- Chars], $"].

escape($") -> "\\\"";
escape($\\) -> "\\\\";
escape(C) -> C.

%%% For gnuplot

%% @doc Distributions: an index for each, separated by two empty lines, with
%% its name as the title; microseconds and percent of the calls.
-spec curves(file:filename(), [{string(), bench_lib:distribution()}]) -> ok.
curves(File, Curves) ->
    Block = fun({Title, Points}) ->
                [io_lib:format("\"~ts\"~n", [Title]),
                 [io_lib:format("~.3f ~.2f~n", [max(Ns, 1) / 1000, Share / 100])
                  || {Share, Ns} <- Points]]
            end,
    ok = file:write_file(File, lists:join("\n\n", [Block(C) || C <- Curves])).

%% @doc Rates: callers, then for one context and for two, lane and socketpair.
-spec throughput(file:filename(), [[number()]]) -> ok.
throughput(File, Rows) ->
    Line = fun(Numbers) -> [lists:join(" ", [integer_to_list(round(N)) || N <- Numbers]), "\n"] end,
    ok = file:write_file(File, [Line(R) || R <- Rows]).
