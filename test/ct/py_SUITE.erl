%% SPDX-License-Identifier: Apache-2.0
%% @doc The public module `py': every form of every function, and that nothing
%% a user passes or Python returns ends the caller.
-module(py_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 3}}].

all() ->
    [call_forms, names, modules_that_are_replaced, kwargs, call_options, eval_forms, exec_forms,
     values, large_values, python_errors, errors_as_maps, last_error_story,
     last_error_is_per_process, bad_arguments, unknown_atoms, no_new_atoms, references,
     stale_references, contexts, routing, binding, pools, many_callers, callers_that_die,
     clean_mailbox, interrupting, without_the_application].

init_per_suite(Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    {ok, _} = application:ensure_all_started(terrarium),
    {ok, _} = py:start_contexts(),
    Config.

end_per_testcase(_, _) ->
    ?assertEqual([], py_ct:mailbox()).

call_forms(_) ->
    C = py:context(1),
    ?assertEqual({ok, 4.0}, py:call(math, sqrt, [16])),
    ?assertEqual({ok, <<"[1]">>}, py:call(json, dumps, [[1]], #{})),
    ?assertEqual({ok, <<"[1]">>}, py:call(json, dumps, [[1]], #{}, 5000)),
    ?assertEqual({ok, <<"[1]">>}, py:call(json, dumps, [[1]], #{}, infinity)),
    ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16])),
    ?assertEqual({ok, 4.0}, py:call(default, math, sqrt, [16])),
    ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16], #{timeout => 5000})),
    ?assertEqual({ok, 4.0}, py:call(default, math, sqrt, [16], #{timeout => 5000})),
    ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16], 5000)),
    ?assertEqual({ok, <<"a/b">>}, py:call(os, 'path.join', [<<"a">>, <<"b">>])).

names(_) ->
    [?assertEqual({ok, 4.0}, py:call(M, F, [16]))
     || M <- [math, <<"math">>, "math"], F <- [sqrt, <<"sqrt">>, "sqrt"]],
    [?assertEqual({ok, 3}, py:eval(Code)) || Code <- ["1+2", <<"1+2">>, '1+2']],
    ?assertEqual({ok, <<"ü"/utf8>>}, py:eval("'ü'")).

%% What sys.modules has now is called, whatever was called before.
modules_that_are_replaced(_) ->
    C = py:context(1),
    [begin
         ok = py:exec(C, ["import sys, types\nmade = types.ModuleType('made_here')\n"
                          "made.f = lambda: ", integer_to_list(N),
                          "\nsys.modules['made_here'] = made\ndel made"]),
         [?assertEqual({ok, N}, py:call(C, made_here, f, [])) || _ <- [1, 2]],
         ?assertEqual({ok, 4.0}, py:call(C, math, sqrt, [16]))
     end || N <- [1, 2, 3]],
    ok = py:exec(C, "del sys.modules['made_here']"),
    ?assertMatch({error, {"ModuleNotFoundError", _}}, py:call(C, made_here, f, [])).

kwargs(_) ->
    Expected = {ok, <<"[\n  1\n]">>},
    [?assertEqual(Expected, py:call(json, dumps, [[1]], #{Key => 2}))
     || Key <- [indent, <<"indent">>, "indent"]],
    ?assertEqual(Expected, py:call(default, json, dumps, [[1]], #{kwargs => #{indent => 2}})).

call_options(_) ->
    C = py:context(1),
    {error, #{type := <<"ValueError">>}} =
        py:call(C, math, sqrt, [-1], #{errors => map}),
    {error, {"ValueError", _}} = py:call(C, math, sqrt, [-1], #{errors => pair}),
    {ok, Ref} = py:call(C, builtins, list, [[1]], #{return => ref}),
    ?assert(py:is_ref(Ref)),
    ?assertEqual({ok, [1]}, py:call(C, builtins, list, [[1]], #{return => term})),
    ?assertEqual({error, {invalid, colour, red}}, py:call(C, math, sqrt, [1], #{colour => red})),
    ?assertEqual({error, {invalid, timeout, -1}}, py:call(C, math, sqrt, [1], #{timeout => -1})),
    ?assertEqual({error, {invalid, errors, x}}, py:call(C, math, sqrt, [1], #{errors => x})).

eval_forms(_) ->
    C = py:context(1),
    ?assertEqual({ok, 3}, py:eval("1 + 2")),
    ?assertEqual({ok, 3}, py:eval("a + b", #{a => 1, "b" => 2})),
    ?assertEqual({ok, 3}, py:eval("a + b", #{a => 1, <<"b">> => 2}, 5000)),
    ?assertEqual({ok, 3}, py:eval(C, "1 + 2")),
    ?assertEqual({ok, 3}, py:eval(C, "a + 2", #{a => 1})),
    ?assertEqual({ok, 3}, py:eval(default, "1 + 2")),
    ?assertEqual({ok, 3}, py:eval(default, "a + 2", #{a => 1})),
    %% Locals live for this call only.
    {error, {"NameError", _}} = py:eval(C, "a").

exec_forms(_) ->
    C = py:context(1),
    ok = py:exec("pass"),
    ok = py:exec(C, "x_forms = 41"),
    ?assertEqual({ok, 42}, py:eval(C, "x_forms + 1")),
    ok = py:exec(C, "def f_forms(a):\n    return a * 2", 5000),
    ?assertEqual({ok, 4}, py:call(C, '__main__', f_forms, [2])),
    {error, {"SyntaxError", _}} = py:exec(C, "def"),
    ok = py:exec(default, "pass", #{timeout => 1000}).

values(_) ->
    Echo = fun(T) -> py:eval("x", #{x => T}) end,
    [?assertEqual({ok, T}, Echo(T))
     || T <- [0, -1, 1 bsl 200, -(1 bsl 200), 1.5, <<"text">>, <<255, 0>>, [], [1, [2]], {}, {a, 1},
              #{}, #{a => 1, <<"b">> => [2]}, true, false, none, ok, self(), make_ref(),
              <<5:3>>, [a | b], "string", fun lists:map/2, infinity, nan]],
    ?assertEqual({ok, none}, Echo(undefined)),
    ?assertEqual({ok, <<"x">>}, Echo({bytes, <<"x">>})),
    ?assertEqual({ok, [0, 1, 2]}, py:eval("range(3)")).

large_values(_) ->
    %% Either side of the size at which the path changes, and far above.
    [begin
         Bin = binary:copy(<<"x">>, N),
         ?assertEqual({ok, N}, py:call(builtins, len, [Bin])),
         {ok, Back} = py:eval("x", #{x => Bin}),
         ?assert(Back =:= Bin),
         Parts = [binary:copy(<<I>>, N div 4) || I <- [1, 2, 3, 200]],
         {ok, Same} = py:eval("x", #{x => {bytes, iolist_to_binary(Parts)}}),
         ?assert(Same =:= iolist_to_binary(Parts))
     end || N <- [100, 65000, 65536, 70000, 1 bsl 20, 16 bsl 20]],
    {ok, C} = py_context:new(#{max_frame => 100000}),
    ?assertMatch({error, {too_large, _, 100000}},
                 py:call(C, builtins, len, [binary:copy(<<0>>, 200000)])),
    ?assertEqual({ok, 5}, py:call(C, builtins, len, [<<"12345">>])),
    ok = py_context:stop(C).

python_errors(_) ->
    ?assertEqual({error, {"ZeroDivisionError", "division by zero"}}, py:eval("1 / 0")),
    {error, {"ModuleNotFoundError", _}} = py:call(no_such_module, f, []),
    {error, {"AttributeError", _}} = py:call(math, no_such_function, []),
    {error, {"TypeError", _}} = py:call(math, sqrt, [<<"x">>]),
    {error, {"SystemExit", _}} = py:exec("import sys; sys.exit(3)"),
    {error, {"KeyboardInterrupt", _}} = py:exec("raise KeyboardInterrupt"),
    {error, {"RecursionError", _}} = py:exec("def r(): r()\nr()"),
    {error, {"Exception", "äöü€"}} = py:exec("raise Exception('äöü€')"),
    {error, {_, Text}} = py:eval("object()"),
    ?assert(string:find(Text, "object") =/= nomatch).

errors_as_maps(_) ->
    {ok, C} = py_context:new(#{errors => map}),
    {error, #{type := <<"ZeroDivisionError">>, message := <<"division by zero">>,
              frames := [_ | _]}} = py:eval(C, "1 / 0"),
    {error, {"ZeroDivisionError", _}} =
        py_context:eval(C, "1 / 0", #{}, #{errors => pair}),
    ok = py_context:stop(C).

last_error_story(_) ->
    Code = "def inner():\n    raise KeyError('k')\n"
           "def outer():\n    try:\n        inner()\n    except KeyError as e:\n"
           "        raise ValueError('v') from e\nouter()",
    {error, {"ValueError", "v"}} = py:exec(Code),
    #{type := <<"ValueError">>, module := <<"builtins">>, message := <<"v">>,
      traceback := Traceback, frames := Frames, cause := Cause} = py:last_error(),
    ?assert(binary:match(Traceback, <<"ValueError: v">>) =/= nomatch),
    ?assert(lists:any(fun(F) -> maps:get(function, F) =:= <<"outer">> end, Frames)),
    ?assertMatch(#{type := <<"KeyError">>}, Cause).

last_error_is_per_process(_) ->
    {error, _} = py:eval("1 / 0"),
    [none] = py_ct:parallel(1, fun(_) -> py:last_error() end),
    #{type := <<"ZeroDivisionError">>} = py:last_error().

bad_arguments(_) ->
    C = py:context(1),
    Invalid = [py:call(1, sqrt, [16]), py:call(math, {x}, [16]), py:call(math, sqrt, 16),
               py:call(math, sqrt, [16 | 17]), py:call(math, sqrt, [16], not_a_map),
               py:call(math, sqrt, [16], #{{k} => 1}), py:call(math, sqrt, [16], #{}, never),
               py:call(C, math, sqrt, x), py:call(C, math, sqrt, [1], never),
               py:eval(17), py:eval([a]), py:eval("1", not_a_map), py:eval(C, 17),
               py:eval("1", #{}, never), py:exec(17), py:exec(C, [17 | x]),
               py:exec("x", "y"), py:exec(C, "pass", never), py:call_method(x, y, []),
               py:getattr(x, y), py:to_term(x), py:interrupt(x), py:context(0),
               py:context(99), py:context(x), py:start_contexts(x)],
    [?assertMatch({error, _}, I) || I <- Invalid],
    ?assertEqual({error, {no_pool, nowhere}}, py:call(nowhere, math, sqrt, [16])),
    ?assertEqual({error, {invalid, module, 1}}, py:call(1, sqrt, [16])),
    ?assertEqual({error, {context_died, noproc}}, py:call(self(), math, sqrt, [16])).

%% An atom that does not exist is named, and is not made.
unknown_atoms(_) ->
    Code = "[1, {'k': __import__('erlang').Atom('never_' + 'seen_atom')}]",
    ?assertEqual({error, {unknown_atom, <<"never_seen_atom">>}}, py:eval(Code)),
    ?assertEqual({ok, py_SUITE}, py:eval("__import__('erlang').Atom('py_' + 'SUITE')")).

%% TERRARIUM_NAMES: how many distinct classes, atoms and modules (default 50).
no_new_atoms(_) ->
    ct:timetrap({hours, 1}),
    Names = list_to_integer(os:getenv("TERRARIUM_NAMES", "50")),
    Provoke = fun(I) ->
                      N = integer_to_list(I),
                      {error, _} = py:eval("__import__('erlang').Atom('zzz" ++ N ++ "')"),
                      {error, _} = py:exec("raise type('Error" ++ N ++ "', (Exception,), {})"),
                      {error, _} = py:call("no_module_" ++ N, "f", []),
                      _ = py:last_error()
              end,
    Provoke(0),
    Before = erlang:system_info(atom_count),
    lists:foreach(Provoke, lists:seq(1, Names)),
    ?assertEqual(Before, erlang:system_info(atom_count)).

references(_) ->
    C = py:context(1),
    {ok, Ref} = py:call(C, collections, 'OrderedDict', [], #{return => ref}),
    ?assert(py:is_ref(Ref)),
    ?assertNot(py:is_ref({py_ref, 1, 2, 3})),
    {ok, none} = py:call_method(Ref, '__setitem__', [<<"k">>, 7]),
    ?assertEqual({ok, 7}, py:call_method(Ref, "get", [<<"k">>])),
    ?assertEqual({ok, #{<<"k">> => 7}}, py:to_term(Ref)),
    {ok, Doc} = py:getattr(Ref, '__doc__'),
    ?assert(is_binary(Doc)),
    {error, {"AttributeError", _}} = py:getattr(Ref, nothing),
    ok = py_context:release(Ref),
    ?assertMatch({error, {"LookupError", _}}, py:to_term(Ref)).

stale_references(_) ->
    {ok, C} = py_context:new(#{}),
    {ok, Ref} = py:call(C, builtins, list, [[1]], #{return => ref}),
    {error, {crashed, _}} = py:exec(C, "import os; os._exit(1)"),
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    ?assertEqual({error, {stale_ref, Ref}}, py:to_term(Ref)),
    ?assertEqual({error, {stale_ref, Ref}}, py:call_method(Ref, append, [1])),
    ok = py_context:release(Ref),
    ok = py_context:stop(C),
    ?assertEqual({error, {context_died, noproc}}, py:to_term(Ref)).

contexts(_) ->
    ?assert(py:contexts_started()),
    {ok, [A, B]} = py:start_contexts(),
    ?assertEqual([A, B], [py:context(1), py:context(2)]),
    ?assertEqual({error, {invalid, context, 3}}, py:context(3)),
    ?assert(lists:member(py:context(), [A, B])),
    ok = py:stop_contexts(),
    ?assertNot(py:contexts_started()),
    ?assertEqual({error, {no_pool, default}}, py:call(math, sqrt, [16])),
    ?assertEqual({error, {context_died, noproc}}, py:call(A, math, sqrt, [16])),
    {ok, [_, _, _]} = py:start_contexts(#{contexts => 3}),
    ?assertEqual(3, py_context_router:num_contexts()),
    ok = py:stop_contexts(),
    {ok, [_, _]} = py:start_contexts(),
    {ok, Version} = py:version(),
    ?assertEqual(<<"3.">>, binary:part(Version, 0, 2)),
    ?assertEqual(process, py:execution_mode()).

%% A context of a pool that was stopped by hand is replaced at its place.
routing(_) ->
    [A, B] = py_context_router:contexts(),
    ok = py_context:stop(A),
    py_ct:eventually(fun() -> py:context(1) =/= A end),
    ?assertEqual(B, py:context(2)),
    ?assertEqual({ok, 1}, py:eval(py:context(1), "1")).

binding(_) ->
    [A, B] = py_context_router:contexts(),
    [begin
         ok = py_context_router:bind_context(C),
         [?assertEqual(C, py:context()) || _ <- lists:seq(1, 20)],
         ok = py:exec("bound = 1"),
         ?assertEqual({ok, 1}, py:eval(C, "bound"))
     end || C <- [A, B]],
    ok = py_context_router:unbind_context(),
    ?assert(lists:member(py:context(), [A, B])),
    {error, {invalid, context, x}} = py_context_router:bind_context(x).

pools(_) ->
    {ok, [P]} = py_context_router:start_pool(special, 1, #{env => #{"WHO" => "pool"}}),
    {ok, [P]} = py_context_router:start_pool(special, 5),
    ?assert(py_context_router:pool_started(special)),
    ?assertEqual({ok, <<"pool">>}, py:call(special, os, getenv, [<<"WHO">>])),
    ?assertEqual({ok, none}, py:call(default, os, getenv, [<<"WHO">>])),
    ok = py_context_router:stop_pool(special),
    ok = py_context_router:stop_pool(special),
    ?assertNot(py_context_router:pool_started(special)),
    ?assertNot(is_process_alive(P)),
    {error, {invalid, contexts, 0}} = py_context_router:start_pool(special, 0),
    {error, {invalid, colour, 1}} = py_context_router:start_pool(special, 1, #{colour => 1}).

many_callers(_) ->
    Calls = 50,
    Results = py_ct:parallel(64, fun(I) ->
                                         [py:eval("x", #{x => {I, N}})
                                          || N <- lists:seq(1, Calls)]
                                 end),
    [?assertEqual([{ok, {I, N}} || N <- lists:seq(1, Calls)], R)
     || {I, R} <- lists:enumerate(Results)].

%% The request of a caller that died is dropped, or ended where it runs.
callers_that_die(_) ->
    {ok, C} = py_context:new(#{}),
    Started = filename:join("/tmp", "py_SUITE_" ++ os:getpid()),
    Code = io_lib:format("open('~s', 'w').close(); ~s", [Started, py_ct:stuck()]),
    {Runner, M1} = spawn_monitor(fun() -> py:exec(C, lists:flatten(Code)) end),
    py_ct:eventually(fun() -> filelib:is_file(Started) end),
    {Waiter, M2} = spawn_monitor(fun() -> py:exec(C, "open('" ++ Started ++ "', 'a').write('x')")
                                 end),
    py_ct:eventually(fun() -> pending(C) =:= 2 end),
    exit(Waiter, kill),
    receive {'DOWN', M2, process, _, _} -> ok end,
    %% The port may hear of it a little later than we do; had it heard first of
    %% the other's death, the request would rightly have run.
    timer:sleep(200),
    exit(Runner, kill),
    receive {'DOWN', M1, process, _, _} -> ok end,
    ?assertEqual({ok, 2}, py:eval(C, "1 + 1")),
    ?assertEqual({ok, <<>>}, file:read_file(Started)),
    ok = file:delete(Started),
    ok = py_context:stop(C).

pending(C) ->
    {ok, #{stats := #{pending := N}}} = py_context:info(C),
    N.

%% A full mailbox does no harm and stays as it is.
clean_mailbox(_) ->
    Junk = [{py_answer, N} || N <- lists:seq(1, 5000)],
    [self() ! J || J <- Junk],
    [{ok, N} = py:eval("x", #{x => N}) || N <- lists:seq(1, 200)],
    {error, timeout} = py:eval(py_ct:stuck(), #{}, 50),
    ?assertEqual(Junk, py_ct:mailbox()),
    [receive J -> ok end || J <- Junk].

interrupting(_) ->
    {ok, C} = py_context:new(#{}),
    ?assertEqual({error, idle}, py:interrupt(C)),
    Self = self(),
    {_, Mon} = spawn_monitor(fun() -> Self ! {result, py:eval(C, py_ct:stuck())} end),
    py_ct:eventually(fun() -> pending(C) =:= 1 end),
    py_ct:eventually(fun() -> py:interrupt(C) =/= ok end),
    receive {result, R} -> ?assertMatch({error, {"KeyboardInterrupt", _}}, R) end,
    receive {'DOWN', Mon, process, _, _} -> ok end,
    ok = py_context:stop(C).

without_the_application(_) ->
    C = py:context(1),
    ok = application:stop(terrarium),
    ?assertEqual({error, {no_pool, default}}, py:call(math, sqrt, [16])),
    ?assertEqual({error, {context_died, noproc}}, py:call(C, math, sqrt, [16])),
    ?assertEqual({error, not_started}, py_context:new(#{})),
    ?assertEqual({error, not_started}, py:start_contexts()),
    ok = application:start(terrarium).
