%% SPDX-License-Identifier: Apache-2.0
%% @doc Python's logging reaches Erlang's logger, with its metadata, from the level
%% on that was asked for, and costs no frame below.
-module(py_logger_SUITE).
-compile([export_all, nowarn_export_all]).
-export([log/2]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [a_record, levels, exceptions, by_the_caller, from_threads, while_booting,
     below_the_level_is_free, erlang_filters_too, scopes, new_contexts, restarts,
     setup_in_python, after_a_timeout, of_strangers, no_atoms, bad_options, not_started].

init_per_suite(Config) ->
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    #{level := Primary} = logger:get_primary_config(),
    ok = py_ct:start([{contexts, 1}]),
    ok = logger:set_primary_config(level, debug),
    ok = logger:add_handler(?MODULE, ?MODULE, #{level => all, config => #{to => self()}}),
    [{primary, Primary} | Config].

end_per_testcase(_, Config) ->
    ok = logger:remove_handler(?MODULE),
    ok = logger:set_primary_config(level, proplists:get_value(primary, Config)),
    py_ct:stop().

%% The handler: pass on what Python logged.
log(#{level := Level, msg := {"~ts", [Text]}, meta := #{python_logger := _} = Meta},
    #{config := #{to := To}}) ->
    To ! {record, Level, Text, Meta},
    ok;
log(_, _) ->
    ok.

next() ->
    receive
        {record, Level, Text, Meta} -> {Level, Text, Meta}
    after 10000 -> ct:fail(no_record)
    end.

silence() ->
    receive
        {record, _, Text, _} -> ct:fail({unexpected, Text})
    after 0 -> ok
    end.

a_record(_) ->
    ok = py:configure_logging(),
    ok = py:exec("import logging\n"
                 "def work():\n"
                 "  logging.getLogger('my.lib').warning('%s is %d', 'é', 3)\n"
                 "work()\n"),
    {warning, Text, Meta} = next(),
    ?assertEqual(<<"é is 3"/utf8>>, Text),
    Context = py:context(),
    #{context := Context, python_logger := <<"my.lib">>, python_function := <<"work">>,
      python_thread := <<"MainThread">>, line := 3, file := File, time := Time} = Meta,
    ?assert(is_list(File)),
    ?assert(abs(Time - erlang:system_time(microsecond)) < 60000000).

levels(_) ->
    ok = py:configure_logging(#{level => all}),
    All = [{1, debug}, {10, debug}, {15, debug}, {20, info}, {25, notice}, {30, warning},
           {40, error}, {50, critical}, {55, alert}, {60, emergency}, {99, emergency}],
    [begin
         {ok, none} = py:eval("__import__('logging').log(n, 'x')", #{n => N}),
         {Level, <<"x">>, _} = next()
     end || {N, Level} <- All],
    ok.

exceptions(_) ->
    ok = py:configure_logging(),
    ok = py:exec("import logging\ntry: 1/0\nexcept Exception: logging.exception('failed')\n"),
    {error, Text, _} = next(),
    ?assertMatch(<<"failed\nTraceback (most recent call last)", _/binary>>, Text),
    ?assert(string:find(Text, "ZeroDivisionError") =/= nomatch).

%% In a request it is the caller that logs.
by_the_caller(_) ->
    ok = py:configure_logging(),
    {ok, none} = py:eval("__import__('logging').error('mine')"),
    Me = self(),
    {error, <<"mine">>, #{pid := Me}} = next().

from_threads(_) ->
    ok = py:configure_logging(),
    ok = py:exec("import logging, threading\n"
                 "def work(i): logging.error('%d', i)\n"
                 "all = [threading.Thread(target=work, args=(i,), name=f'n{i}')"
                 " for i in range(20)]\n"
                 "for t in all: t.start()\n"
                 "for t in all: t.join()\n"),
    Got = lists:sort([begin
                          {error, Text, #{python_thread := Name}} = next(),
                          ?assertEqual(<<"n", Text/binary>>, Name),
                          binary_to_integer(Text)
                      end || _ <- lists:seq(1, 20)]),
    ?assertEqual(lists:seq(0, 19), Got).

%% A context that boots can not call: the line goes to standard error.
while_booting(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    ok = file:write_file(filename:join(Dir, "loud_at_boot.py"),
                         "import logging\nlogging.error('booting')\n"),
    ok = py:configure_logging(),
    {ok, C} = py_context:new(#{paths => [Dir], imports => [loud_at_boot]}),
    {ok, none} = py:call(C, logging, error, [up]),
    {error, <<"up">>, _} = next(),
    ok = py_context:stop(C).

callbacks(C) ->
    {ok, #{stats := #{callbacks := N}}} = py_context:info(C),
    N.

below_the_level_is_free(_) ->
    C = py:context(),
    ok = py:configure_logging(#{level => error}),
    Before = callbacks(C),
    ok = py:exec("import logging\n"
                 "own = logging.getLogger('own')\n"
                 "own.setLevel(logging.DEBUG)\n"
                 "for i in range(1000):\n"
                 "  logging.warning('no')\n"
                 "  own.warning('no')\n"),
    ?assertEqual(Before, callbacks(C)),
    silence(),
    {ok, false} = py:eval("__import__('logging').getLogger('x').isEnabledFor(30)"),
    ok = py:exec("logging.error('yes')"),
    {error, <<"yes">>, _} = next(),
    ?assertEqual(Before + 1, callbacks(C)),
    ok = py:configure_logging(#{level => none}),
    ok = py:exec("logging.critical('no')"),
    ?assertEqual(Before + 1, callbacks(C)).

erlang_filters_too(_) ->
    ok = py:configure_logging(#{level => debug}),
    ok = logger:set_module_level(py_logger, error),
    ok = py:exec("import logging\nlogging.warning('no')\nlogging.error('yes')\n"),
    {error, <<"yes">>, _} = next(),
    ok = logger:unset_module_level(py_logger).

%% The narrowest setting counts.
scopes(_) ->
    {ok, [P]} = py_context_router:start_pool(logged, 1, #{}),
    {ok, C} = py_context:new(#{}),
    D = py:context(1),
    ok = py:configure_logging(#{level => error}),
    ok = py:configure_logging(#{level => info, pool => logged}),
    ok = py:configure_logging(#{level => debug, context => C}),
    ?assertEqual([40, 20, 10], [effective(X) || X <- [D, P, C]]),
    ok = py:configure_logging(#{level => warning, runtime => default}),
    ?assertEqual([30, 20, 10], [effective(X) || X <- [D, P, C]]),
    ok = py_context:stop(C),
    {error, {context_died, noproc}} = py:configure_logging(#{context => C}),
    ?assertNot(py_log_level:has_own(C)).

effective(C) ->
    {ok, N} = py:eval(C, "__import__('logging').getLogger('any').getEffectiveLevel()"),
    N.

new_contexts(_) ->
    ok = py:configure_logging(#{level => info}),
    {ok, C} = py_context:new(#{}),
    ?assertEqual(20, effective(C)),
    ok = py_context:stop(C).

restarts(_) ->
    C = py:context(1),
    ok = py:configure_logging(#{level => debug, context => C}),
    {error, {crashed, _}} = py:call(C, os, '_exit', [1]),
    ?assertEqual(10, effective(C)).

setup_in_python(_) ->
    ok = py:exec("import erlang, logging\n"
                 "a = erlang.setup_logging(logging.WARNING, '%(name)s says %(message)s')\n"
                 "b = erlang.setup_logging('WARNING', '%(name)s says %(message)s')\n"
                 "assert a is b and isinstance(a, erlang.ErlangHandler)\n"
                 "logging.getLogger('it').warning('hello')\nlogging.info('no')\n"),
    {warning, <<"it says hello">>, _} = next(),
    silence().

%% Nobody waits for the request any more; what it logs as it ends is heard.
after_a_timeout(_) ->
    C = py:context(),
    ok = py:configure_logging(),
    {error, timeout} = py_context:exec(C, "import logging, time\n"
                                          "try: time.sleep(60)\n"
                                          "finally: logging.error('the end')\n", 300),
    {error, <<"the end">>, _} = next(),
    {ok, #{restarts := 0}} = py_context:info(C).

no_atoms(_) ->
    ok = py:configure_logging(),
    ok = py:exec("import logging\nlogging.getLogger('warm').error('x')"),
    _ = next(),
    Before = erlang:system_info(atom_count),
    ok = py:exec("for i in range(200): logging.getLogger(f'l{i}x').error('x')"),
    _ = [next() || _ <- lists:seq(1, 200)],
    ?assertEqual(Before, erlang:system_info(atom_count)).

%% They may not write to the log: what they log goes where Python has it go.
of_strangers(_) ->
    New = fun() -> {ok, C} = py_context:new(#{policy => default}), C end,
    Before = New(),
    ok = py:configure_logging(#{level => info}),
    Log = fun(C) ->
                  {ok, #{stderr := Text}} =
                      py_context:exec(C, "import logging; logging.getLogger('a').warning('hm')",
                                      #{output => capture}),
                  Text
          end,
    Contexts = [Before, New()],
    ?assertEqual([<<"hm\n">>, <<"hm\n">>], [Log(C) || C <- Contexts]),
    ?assertEqual({error, {denied, log}}, py:configure_logging(#{context => Before})),
    ok = py_context:exec(Before, "import erlang; erlang.setup_logging(format='%(message)s')"),
    ?assertEqual(<<"WARNING:a:hm\n">>, Log(Before)),
    silence(),
    [ok = py_context:stop(C) || C <- Contexts].

bad_options(_) ->
    {error, {invalid, level, loud}} = py:configure_logging(#{level => loud}),
    {error, {invalid, options, x}} = py:configure_logging(x),
    {error, {invalid, colour, red}} = py:configure_logging(#{colour => red}),
    {error, {invalid, pool, _}} = py:configure_logging(#{pool => "name"}),
    {error, {invalid, _, _}} = py:configure_logging(#{pool => a, runtime => b}).

not_started(_) ->
    ok = py_ct:stop(),
    {error, not_started} = py:configure_logging().
