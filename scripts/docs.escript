#!/usr/bin/env escript
%% SPDX-License-Identifier: Apache-2.0
%% -*- erlang -*-
%% docs SOURCES OUT APP_DIR - edoc of every module under SOURCES: HTML into OUT,
%% EEP-48 chunks into APP_DIR/doc/chunks, where the shell's h/1,2 finds them.
%% Fails on the first warning or error.

main([Sources, Out, App]) ->
    Files = filelib:wildcard(filename:join(Sources, "**/*.erl")),
    Common = [{preprocess, true}, {includes, [Sources, filename:join(Sources, "port")]},
              {todo, true}, new],
    capture(fun() ->
        ok = edoc:files(Files, [{dir, Out} | Common]),
        ok = edoc:files(Files, [{dir, filename:join(App, "doc")},
                                {doclet, edoc_doclet_chunks},
                                {layout, edoc_layout_chunks} | Common])
    end, Out).

%% edoc only prints its warnings: have them on a file, and look.
capture(Run, Out) ->
    Log = filename:join(Out, "edoc.log"),
    ok = filelib:ensure_dir(Log),
    {ok, Device} = file:open(Log, [write]),
    Leader = group_leader(),
    group_leader(Device, self()),
    Result = try Run() catch Class:Reason -> {Class, Reason} end,
    group_leader(Leader, self()),
    ok = file:close(Device),
    {ok, Text} = file:read_file(Log),
    io:put_chars(Text),
    case {Result, re:run(Text, "(?mi)\\bwarning\\b|\\berror\\b")} of
        {ok, nomatch} -> ok = file:delete(Log);
        {ok, _} -> fail("edoc warned");
        {Other, _} -> fail(io_lib:format("~tp", [Other]))
    end.

fail(Text) ->
    io:format(standard_error, "docs: ~ts~n", [Text]),
    halt(1).
