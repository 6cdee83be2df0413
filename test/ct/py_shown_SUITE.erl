%% SPDX-License-Identifier: Apache-2.0
%% @doc Control characters that Python chose: shown as what they are in the log and on
%% the terminal of a caller, and untouched where output or errors were asked for.
-module(py_shown_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

-define(NASTY, <<"a\e[2J\r\bb\x{202e}c\x{9b}d\0e"/utf8>>).
-define(SHOWN, <<"a\\x{1B}[2J\\x{D}\\x{8}b\\x{202E}c\\x{9B}d\\x{0}e">>).
-define(PYTHON, "'a\\x1b[2J\\r\\bb\\u202ec\\x9bd\\0e'").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [texts, printed, captured, exceptions, logged, records].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 1}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

texts(_) ->
    [?assertEqual(Expected, py_shown:text(Text))
     || {Expected, Text} <-
            [{<<>>, <<>>}, {<<"plain\n\ttext">>, "plain\n\ttext"}, {?SHOWN, ?NASTY},
             {<<"h\x{f6}r\x{4e2d}\x{1f600}"/utf8>>, <<"h\x{f6}r\x{4e2d}\x{1f600}"/utf8>>},
             {<<"\\x{7F}\\x{FEFF}\\x{2066}\\x{2069}\\x{61C}\\x{2028}">>,
              [127, 16#feff, 16#2066, 16#2069, 16#61c, 16#2028]},
             {<<"\x{fc}\\x{9B}"/utf8>>, <<252, 155>>}, {<<"a">>, ["a", 16#d800]}]],
    ?assertEqual(<<"abc">>, py_shown:text("abc", 3)),
    ?assertEqual(<<"ab\\x{1B}...">>, py_shown:text("ab\ecd", 3)),
    %% Characters, and not what looks like one.
    ?assertEqual(<<"a\x{301}\x{301}..."/utf8>>,
                 py_shown:text([$a | lists:duplicate(9, 16#301)], 3)),
    ?assertEqual(<<"\x{1f600}\x{4e2d}..."/utf8>>, py_shown:text([16#1f600, 16#4e2d, $x], 2)).

%% To the group leader: as it is for the application's own code only.
printed(_) ->
    [begin
         {ok, C} = py_context:new(#{policy => Level}),
         ?assertEqual(<<Expected/binary, "\n">>,
                      led(fun() -> ok = py_context:exec(C, "print(" ?PYTHON ")") end)),
         ok = py_context:stop(C)
     end || {Level, Expected} <- [{trusted, ?NASTY}, {default, ?SHOWN}, {strict, ?SHOWN}]].

%% What a process prints that runs this.
led(Fun) ->
    Here = self(),
    Leader = spawn_link(fun() -> leader(<<>>) end),
    {_, Mon} = spawn_monitor(fun() -> group_leader(Leader, self()), Fun() end),
    receive {'DOWN', Mon, process, _, Reason} -> normal = Reason end,
    Leader ! {stop, Here},
    receive {Leader, Text} -> Text end.

leader(Said) ->
    receive
        {io_request, From, Ref, {put_chars, unicode, Text}} ->
            From ! {io_reply, Ref, ok},
            leader(<<Said/binary, (unicode:characters_to_binary(Text))/binary>>);
        {stop, From} ->
            From ! {self(), Said}
    end.

captured(_) ->
    {ok, C} = py_context:new(#{policy => default}),
    {ok, #{stdout := Out}} = py_context:eval(C, "print(" ?PYTHON ")", #{}, #{output => capture}),
    ?assertEqual(<<?NASTY/binary, "\n">>, Out),
    ?assertEqual({ok, ?NASTY}, py_context:eval(C, ?PYTHON)),
    ok = py_context:stop(C).

exceptions(_) ->
    {ok, C} = py_context:new(#{policy => default}),
    {error, {"ValueError", Text}} = py_context:exec(C, "raise ValueError(" ?PYTHON ")"),
    ?assertEqual(?NASTY, unicode:characters_to_binary(Text)),
    ok = py_context:stop(C).

%% Lines that a process writes by itself, and the manner of its death.
logged(_) ->
    ok = listen(),
    {ok, C} = py_context:new(#{policy => default}),
    ok = py_context:exec(C, "import os\nos.write(1, (" ?PYTHON " + '\\n').encode())"),
    [<<"stdout] ", Line/binary>>] = heard("stdout] "),
    ?assertEqual(?SHOWN, Line),
    {error, {crashed, _}} =
        py_context:eval(C, ["__import__('os')._exit(3) # \e[31m\x{202e}",
                            lists:duplicate(5000, $x)]),
    [Death] = heard("its process died"),
    ?assertEqual(nomatch, binary:match(Death, [<<"\e">>, <<"\x{202e}"/utf8>>])),
    ?assert(byte_size(Death) < 2000),
    ok = py_context:stop(C),
    ok = logger:remove_handler(?MODULE).

records(_) ->
    ok = listen(),
    ok = py:configure_logging(#{level => info}),
    ok = py:exec("import logging\nlogging.warning('recorded: ' + " ?PYTHON ")"),
    [<<"recorded: ", Text/binary>>] = heard("recorded: "),
    ?assertEqual(?SHOWN, Text),
    ok = logger:remove_handler(?MODULE).

%% This module is a handler of logger, which tells the process of the case.
listen() ->
    logger:add_handler(?MODULE, ?MODULE, #{level => all, config => #{to => self()}}).

log(#{msg := {Format, Args}}, #{config := #{to := Pid}}) when is_list(Args) ->
    Pid ! {heard, unicode:characters_to_binary(io_lib:format(Format, Args))};
log(_, _) ->
    ok.

%% From there on what has this in it; others are forgotten.
heard(Part) ->
    receive
        {heard, Text} ->
            case string:find(Text, Part) of
                nomatch -> heard(Part);
                Found -> [Found]
            end
    after 10000 -> ct:fail({not_heard, Part})
    end.
