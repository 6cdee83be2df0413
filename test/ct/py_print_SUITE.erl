%% SPDX-License-Identifier: Apache-2.0
%% @doc What the code of a request prints goes to the group leader of the process
%% that called, in order and before the result, or into the result.
-module(py_print_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [to_the_group_leader, in_order_with_callbacks, each_process_its_own, nested_requests,
     dead_group_leader, silent_group_leader, latin1_group_leader, no_utf8, interrupted,
     no_mail_is_left,
     captured, capture_is_bounded, capture_of_errors, capture_of_a_pool, capture_nests,
     capture_with_other_options, bad_options, traceback_module, no_input, a_storm].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, C} = py_context:new(#{}),
    [{context, C} | Config].

end_per_testcase(_, Config) ->
    [] = py_ct:mailbox(),
    ok = py_context:stop(proplists:get_value(context, Config)).

context(Config) ->
    proplists:get_value(context, Config).

%%% A group leader that keeps what it is told

leader() ->
    spawn_link(fun() -> leader([], fun unicode:characters_to_binary/1) end).

leader(Said, Take) ->
    receive
        {io_request, From, As, {put_chars, unicode, Text}} ->
            case Take(Text) of
                Taken when is_binary(Taken) ->
                    From ! {io_reply, As, ok},
                    leader([Taken | Said], Take);
                Error ->
                    From ! {io_reply, As, {error, Error}},
                    leader(Said, Take)
            end;
        {said, From} ->
            From ! {said, lists:reverse(Said)},
            leader(Said, Take)
    end.

said(Leader) ->
    Leader ! {said, self()},
    receive {said, Said} -> Said end.

%% With another group leader.
under(Leader, Run) ->
    Mine = group_leader(),
    true = group_leader(Leader, self()),
    try Run() after group_leader(Mine, self()) end.

%% What is said while this runs.
heard(Run) ->
    Leader = leader(),
    Result = under(Leader, Run),
    {Result, said(Leader)}.

%%% Streams

to_the_group_leader(Config) ->
    C = context(Config),
    Code = "import sys\n"
           "print('héllo', 'world')\n"
           "print('to stderr', file=sys.stderr)\n"
           "print('two\\nlines')\n"
           "print('no end', end='')\n",
    {ok, Said} = heard(fun() -> py:exec(C, Code) end),
    ?assertEqual([<<"héllo world\n"/utf8>>, <<"to stderr\n">>, <<"two\n">>, <<"lines\n">>,
                  <<"no end">>], Said),
    {{ok, none}, [<<"x\n">>]} = heard(fun() -> py:call(builtins, print, [x]) end),
    {{ok, none}, [<<"y\n">>]} = heard(fun() -> py:eval("print('y')") end).

in_order_with_callbacks(Config) ->
    C = context(Config),
    ok = py:register_function(say, fun([Text]) -> io:put_chars(["<", Text, ">"]), ok end),
    Code = "import erlang\n"
           "print('a', end='')\nerlang.say('b')\nprint('c')\nerlang.say('d')\n",
    {ok, Said} = heard(fun() -> py:exec(C, Code) end),
    ?assertEqual(<<"a<b>c\n<d>">>, iolist_to_binary(Said)),
    ok = py:unregister_function(say).

%% Two processes, one context: nobody hears the other.
each_process_its_own(Config) ->
    C = context(Config),
    All = py_ct:parallel(8, fun(I) ->
                                    Leader = leader(),
                                    group_leader(Leader, self()),
                                    [{ok, none} = py:call(C, builtins, print, [I])
                                     || _ <- lists:seq(1, 20)],
                                    Said = said(Leader),
                                    unlink(Leader),
                                    exit(Leader, kill),
                                    Said
                            end),
    [?assertEqual(lists:duplicate(20, <<(integer_to_binary(I))/binary, "\n">>), Said)
     || {I, Said} <- lists:enumerate(All)].

nested_requests(Config) ->
    C = context(Config),
    ok = py:register_function(again, fun([N]) -> ok = py:exec(C, code(N)) end),
    {ok, Said} = heard(fun() -> py:exec(C, code(3)) end),
    ?assertEqual([<<"in 3 ">>, <<"in 2 ">>, <<"in 1 ">>, <<"in 0 ">>, <<"out 0\n">>,
                  <<"out 1\n">>, <<"out 2\n">>, <<"out 3\n">>], Said),
    ok = py:unregister_function(again).

code(N) ->
    io_lib:format("import erlang\nprint('in ~b', end=' ')\n"
                  "if ~b > 0: erlang.again(~b)\nelse: __import__('sys').stdout.flush()\n"
                  "print('out ~b')\n", [N, N, N - 1, N]).

%%% Group leaders that do not do their duty

dead_group_leader(Config) ->
    C = context(Config),
    {Dead, Mon} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Mon, process, _, _} -> ok end,
    ok = under(Dead, fun() -> py:exec(C, "print('nobody hears this')") end),
    {ok, 1} = py:eval(C, "1").

%% The time of the request is up while nobody answers: the code is ended.
silent_group_leader(Config) ->
    C = context(Config),
    Silent = spawn(fun() -> receive never -> ok end end),
    {error, timeout} =
        under(Silent, fun() -> py_context:exec(C, "print('x')\nprint('y')", 200) end),
    exit(Silent, kill),
    {ok, 1} = py:eval(C, "1").

latin1_group_leader(Config) ->
    C = context(Config),
    Latin1 = fun(Text) ->
                     case unicode:characters_to_binary(Text, unicode, latin1) of
                         B when is_binary(B) -> B;
                         _ -> {no_translation, unicode, latin1}
                     end
             end,
    Leader = spawn_link(fun() -> leader([], Latin1) end),
    ok = under(Leader, fun() -> py:exec(C, "print('\\u20ac5')") end),
    ?assertEqual([<<"\\x{20AC}5\n">>], said(Leader)).

no_utf8(Config) ->
    C = context(Config),
    Code = "import sys\nsys.stdout.buffer.write(b'a\\xffb\\n')\n",
    {ok, Said} = heard(fun() -> py:exec(C, Code) end),
    ?assertEqual([<<"a", 16#fffd/utf8, "b\n">>], Said).

%% Code that cleans up after a timeout may print; it ends in good time.
interrupted(Config) ->
    C = context(Config),
    Generation = generation(C),
    {{error, timeout}, Said} =
        heard(fun() ->
                      py_context:exec(C, "import time\nprint('begun')\n"
                                         "try: time.sleep(60)\n"
                                         "finally: print('cleaned up')\n", 300)
              end),
    ?assertEqual([<<"begun\n">>], Said),
    ?assertEqual(Generation, generation(C)).

generation(C) ->
    {ok, #{generation := Generation}} = py_context:info(C),
    Generation.

no_mail_is_left(Config) ->
    C = context(Config),
    process_flag(trap_exit, true),
    {ok, _} = heard(fun() -> py:exec(C, "for i in range(200): print(i)") end),
    process_flag(trap_exit, false),
    ?assertEqual([], py_ct:mailbox()).

%%% Into the result

captured(Config) ->
    C = context(Config),
    Capture = #{output => capture},
    {Result, []} =
        heard(fun() -> py:call(C, builtins, print, [<<"é"/utf8>>], Capture) end),
    ?assertEqual({ok, #{value => none, stdout => <<"é\n"/utf8>>, stderr => <<>>}}, Result),
    ok = py:exec(C, "import sys\ndef f(x):\n  print('o', end='')\n"
                    "  print('e', file=sys.stderr)\n  return x + 1\n"),
    ?assertEqual({ok, #{value => 3, stdout => <<"o">>, stderr => <<"e\n">>}},
                 py:call(C, '__main__', f, [2], Capture)),
    ?assertEqual({ok, #{value => 5, stdout => <<"o">>, stderr => <<"e\n">>}},
                 py_context:eval(C, "f(x)", #{x => 4}, Capture)),
    ?assertEqual({ok, #{value => none, stdout => <<"1\n">>, stderr => <<>>}},
                 py:exec(C, "print(1)", Capture)),
    ?assertEqual({ok, #{value => 4.0, stdout => <<>>, stderr => <<>>}},
                 py:call(math, sqrt, [16], #{}, Capture)),
    {ok, [<<"again\n">>]} = heard(fun() -> py:exec(C, "print('again')") end).

capture_is_bounded(Config) ->
    C = context(Config),
    Options = #{output => capture, output_max => 10},
    {ok, #{stdout := Cut}} = py:exec(C, "print('0123456789abcdef')", Options),
    ?assertEqual(<<"0123456789\n[7 more bytes]\n">>, Cut),
    {ok, #{stdout := Half}} = py:exec(C, "print('012345678\\u20ac')", Options),
    ?assertEqual(<<"012345678\n[3 more bytes]\n">>, Half),
    {ok, #{stdout := Much}} = py:exec(C, "for _ in range(64): print('x' * 65535)",
                                      #{output => capture}),
    ?assertEqual(1048576 + byte_size(<<"\n[3145728 more bytes]\n">>), byte_size(Much)).

capture_of_errors(Config) ->
    C = context(Config),
    {error, {"ZeroDivisionError", _}} =
        py:exec(C, "import sys\nprint('o')\nprint('e', file=sys.stderr)\n1/0",
                #{output => capture}),
    #{type := <<"ZeroDivisionError">>, stdout := <<"o\n">>, stderr := <<"e\n">>} =
        py:last_error(),
    {ok, _} = py:eval(C, "1"),
    #{stdout := <<"o\n">>} = py:last_error(),
    {ok, #{value := 1}} = py_context:eval(C, "1", #{}, #{output => capture}),
    #{stdout := <<"o\n">>} = py:last_error(),
    {error, timeout} = py:exec(C, "print('t')\nimport time\ntime.sleep(60)",
                               #{output => capture, timeout => 300}),
    ?assertMatch(#{stdout := <<"t\n">>, type := <<"KeyboardInterrupt">>}, py:last_error()),
    {error, {crashed, _}} = py:exec(C, "print('c')\nimport os\nos._exit(1)",
                                    #{output => capture}),
    ?assertMatch(#{stdout := <<"c\n">>, type := <<"crashed">>}, py:last_error()),
    {error, {"NameError", _}} = py:eval(C, "nowhere"),
    ?assertNot(maps:is_key(stdout, py:last_error())).

capture_of_a_pool(_) ->
    {ok, [_, _]} = py_context_router:start_pool(quiet, 2, #{output => capture,
                                                            output_max => 4}),
    ?assertEqual({ok, #{value => none, stdout => <<"x\n">>, stderr => <<>>}},
                 py:call(quiet, builtins, print, [x])),
    ?assertMatch({ok, #{stdout := <<"1234\n[2 more", _/binary>>}},
                 py:call(quiet, builtins, print, [12345])),
    ?assertMatch({ok, #{stdout := <<"12345\n">>}},
                 py:call(quiet, builtins, print, [12345], #{output_max => 10})),
    ?assertEqual({ok, #{value => none, stdout => <<"1\n">>, stderr => <<>>}},
                 py:exec(quiet, "print(1)")),
    {{ok, none}, [<<"y\n">>]} =
        heard(fun() -> py:call(quiet, builtins, print, [y], #{output => stream}) end),
    {error, {"NameError", _}} = py:eval(quiet, "nowhere"),
    {error, #{type := <<"TypeError">>}} =
        py:call(quiet, builtins, len, [1], #{errors => map}),
    ok = py_context_router:stop_pool(quiet).

%% What a function makes Python print is not what the request printed.
capture_nests(Config) ->
    C = context(Config),
    Fun = fun([]) ->
                  ok = py:exec(C, "print('to the leader')"),
                  {ok, #{stdout := Inner}} = py:exec(C, "print('inner')",
                                                     #{output => capture}),
                  Inner
          end,
    ok = py:register_function(print_there, Fun),
    Run = fun() ->
                  py:exec(C, "import erlang\nprint('outer')\n"
                             "print('got', erlang.print_there(), end='')\n",
                          #{output => capture})
          end,
    {{ok, #{stdout := Outer}}, Said} = heard(Run),
    ?assertEqual(<<"outer\ngot inner\n">>, Outer),
    ?assertEqual([<<"to the leader\n">>], Said),
    ok = py:unregister_function(print_there).

capture_with_other_options(Config) ->
    C = context(Config),
    {ok, #{value := Ref, stdout := <<>>}} =
        py:call(C, builtins, object, [], #{output => capture, return => ref}),
    true = py:is_ref(Ref),
    {error, #{type := <<"TypeError">>}} =
        py:call(C, builtins, len, [1], #{errors => map, output => capture}),
    {ok, #{stdout := <<"a-b\n">>}} =
        py:call(C, builtins, print, [a, b], #{output => capture, kwargs => #{sep => <<"-">>}}).

bad_options(Config) ->
    C = context(Config),
    {error, {invalid, output, loud}} = py:exec(C, "1", #{output => loud}),
    {error, {invalid, output_max, 0}} = py:exec(C, "1", #{output_max => 0}),
    {error, {invalid, output, loud}} = py_context:new(#{output => loud}),
    {error, {invalid, output_max, none}} = py_context:new(#{output_max => none}).

%%% Python's own ways

traceback_module(Config) ->
    C = context(Config),
    {ok, Said} = heard(fun() ->
                               py:exec(C, "import traceback, warnings\n"
                                          "try: 1/0\n"
                                          "except Exception: traceback.print_exc()\n"
                                          "warnings.warn('careful')\n")
                       end),
    Text = iolist_to_binary(Said),
    [?assert(string:find(Text, Part) =/= nomatch)
     || Part <- ["Traceback (most recent", "ZeroDivisionError", "UserWarning: careful"]].

no_input(_) ->
    {{error, {"UnsupportedOperation", Message}}, [<<"name? ">>]} =
        heard(fun() -> py:eval("input('name? ')") end),
    ?assert(string:find(Message, "no standard input") =/= nomatch).

%% Many processes, many contexts, callbacks between the lines, timeouts: whole
%% lines in order, each with the process that it belongs to.
a_storm(_) ->
    ok = py:register_function(same, fun([X]) -> X end),
    [ok = py:exec(C, "import erlang\n"
                     "def storm(i, n):\n"
                     "  for j in range(10):\n"
                     "    print(i, n, end=' ')\n"
                     "    print(erlang.same(j))\n") || C <- py_context_router:contexts()],
    Results = py_ct:parallel(16, fun storm/1),
    ?assertEqual(lists:duplicate(16, ok), Results),
    ok = py:unregister_function(same).

storm(I) ->
    Leader = leader(),
    group_leader(Leader, self()),
    [storm(I, N, Leader) || N <- lists:seq(1, 20)],
    unlink(Leader),
    exit(Leader, kill),
    [] = py_ct:mailbox(),
    ok.

storm(I, N, Leader) ->
    Before = length(said(Leader)),
    {ok, none} = py:call('__main__', storm, [I, N]),
    Said = iolist_to_binary(lists:nthtail(Before, said(Leader))),
    Wanted = [io_lib:format("~b ~b ~b~n", [I, N, J]) || J <- lists:seq(0, 9)],
    ?assertEqual(iolist_to_binary(Wanted), Said),
    case N rem 7 of
        0 -> {error, timeout} = py_context:exec(py:context(), "while True: print(1)", 20);
        _ -> ok
    end.
