#!/usr/bin/env escript
%% SPDX-License-Identifier: Apache-2.0
%% -*- erlang -*-
%% wire_table WIRE_DEF OUT - the protocol as Markdown tables, from wire.def.

main([Def, Out]) ->
    {ok, Source} = file:read_file(Def),
    Text = re:replace(Source, "(?m)/\\*[\\s\\S]*?\\*/|^#[^\n]*$", "",
                      [global, {return, binary}]),
    ok = filelib:ensure_dir(Out),
    ok = file:write_file(Out, unicode:characters_to_binary(
        ["# The wire\n\nGenerated from c_src/wire/wire.def.\n",
         [section(Text, S) || S <- sections()]])).

sections() ->
    [{"FRAME", "Frames", ["name", "opcode", "direction", "body", "meaning"]},
     {"FLAG", "Flags of a frame", ["name", "bit", "meaning"]},
     {"LIMIT", "Limits", ["name", "value", "meaning"]},
     {"OP", "Commands of the driver", ["name", "code", "meaning"]},
     {"REPLY", "Replies of the driver", ["name", "code", "meaning"]},
     {"CTL", "Control messages", ["name", "direction", "meaning"]}].

section(Text, {Kind, Title, Columns}) ->
    ["\n## ", Title, "\n\n", row(Columns), row(["---" || _ <- Columns]),
     [row(fields(E)) || [E] <- entries(Text, Kind)]].

entries(Text, Kind) ->
    case re:run(Text, "\\b" ++ Kind ++ "\\((\\w+,[^\n]*)\\)", [global, {capture, [1], list}]) of
        {match, Found} -> Found;
        nomatch -> []
    end.

%% Up to the quoted meaning, fields are words between commas.
fields(Entry) ->
    [Words, Meaning | _] = string:split(Entry, "\"", all),
    [string:trim(W) || W <- string:split(Words, ",", all), string:trim(W) =/= ""]
        ++ [re:replace(Meaning, "\\|", "\\\\\\\\|", [global, {return, list}])].

row(Fields) -> ["| ", lists:join(" | ", Fields), " |\n"].
