#!/usr/bin/env escript
%% SPDX-License-Identifier: Apache-2.0
%% -*- erlang -*-
%% check_erl_floors EBIN - a module calls its own floor or a lower one.
%% The floor of a module is the first folder under erl/ that its source stands in.

floors() -> #{"port" => 0, "context" => 1, "service" => 2, "api" => 3, "erl" => 4}.

%% Configuration is read on every floor.
everywhere() -> [terrarium_config].

main([Ebin]) ->
    Floors = maps:from_list([floor_of(F) || F <- filelib:wildcard("erl/**/*.erl")]),
    {ok, _} = xref:start(floors),
    {ok, _} = xref:add_directory(floors, Ebin),
    {ok, Edges} = xref:q(floors, "ME"),
    Bad = [Edge || {From, To} = Edge <- Edges, above(From, To, Floors)],
    [io:format("~s (floor ~b) calls ~s (floor ~b)~n",
               [F, maps:get(F, Floors), T, maps:get(T, Floors)]) || {F, T} <- Bad],
    Unknown = [M || {M, unknown} <- maps:to_list(Floors)],
    [io:format("~s stands in a folder without a floor~n", [M]) || M <- Unknown],
    halt(case {Bad, Unknown} of {[], []} -> 0; _ -> 1 end).

floor_of(File) ->
    Module = list_to_atom(filename:basename(File, ".erl")),
    Folder = case filename:split(File) of
                 ["erl", First, _ | _] -> First;
                 ["erl", _] -> "erl"
             end,
    {Module, maps:get(Folder, floors(), unknown)}.

above(From, To, Floors) ->
    case Floors of
        #{From := F, To := T} when is_integer(F), is_integer(T) ->
            T > F andalso not lists:member(To, everywhere());
        _ -> false
    end.
