%% SPDX-License-Identifier: Apache-2.0
%% @doc Code that contexts run before they serve.
-module(py_preload_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [new_contexts, after_a_crash, after_a_renewal, option, option_of_a_pool, both, comes_last,
     what_it_is, raises, syntax, never_half_started, endless, gets_well, no_callbacks, large,
     invalid, not_started].

init_per_testcase(endless, Config) ->
    ok = py_ct:start([{contexts, 1}, {start_timeout, 2000}]),
    Config;
init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 1}]),
    Config.

end_per_testcase(_, _) ->
    py_ct:stop().

x(C) -> py:eval(C, "x").

new_contexts(_) ->
    ?assertNot(py_preload:has_preload()),
    ?assertEqual(undefined, py_preload:get_code()),
    ok = py_preload:set_code("import math\nx = math.sqrt(16)\n"),
    ?assert(py_preload:has_preload()),
    ?assertEqual(<<"import math\nx = math.sqrt(16)\n">>, py_preload:get_code()),
    ?assertMatch({error, {"NameError", _}}, x(py:context(1))),
    {ok, C} = py_context:new(#{}),
    ?assertEqual({ok, 4.0}, x(C)),
    {ok, [P]} = py_context_router:start_pool(other, 1),
    ?assertEqual({ok, 4.0}, x(P)),
    ok = py_context_router:reload_pool(default),
    ?assertEqual({ok, 4.0}, x(py:context(1))),
    ok = py_preload:clear_code(),
    ?assertNot(py_preload:has_preload()),
    {ok, D} = py_context:new(#{}),
    ?assertMatch({error, {"NameError", _}}, x(D)).

after_a_crash(_) ->
    ok = py_preload:set_code(<<"x = 1">>),
    {ok, C} = py_context:new(#{}),
    ok = py:exec(C, "x = 2"),
    {error, {crashed, _}} = py:eval(C, "__import__('os')._exit(1)"),
    ?assertEqual({ok, 1}, x(C)),
    ok = py_preload:set_code(<<"x = 3">>),
    {error, {crashed, _}} = py:eval(C, "__import__('os')._exit(1)"),
    ?assertEqual({ok, 3}, x(C)).

after_a_renewal(_) ->
    ok = py_preload:set_code(<<"x = 1">>),
    C = py:context(1),
    ok = py_context:renew(C),
    ?assertEqual({ok, 1}, x(C)).

option(_) ->
    {ok, C} = py_context:new(#{preload_code => "def f(n): return n + 1\nx = f(1)"}),
    ?assertEqual({ok, 2}, x(C)),
    ?assertEqual({ok, 6}, py:call(C, '__main__', f, [5])),
    {error, {crashed, _}} = py:eval(C, "__import__('os')._exit(1)"),
    ?assertEqual({ok, 2}, x(C)),
    {ok, D} = py_context:new(#{}),
    ?assertMatch({error, {"NameError", _}}, x(D)).

option_of_a_pool(_) ->
    {ok, Contexts} = py_context_router:start_pool(mine, 2, #{preload_code => "x = 7"}),
    ?assertEqual([{ok, 7}, {ok, 7}], [x(C) || C <- Contexts]),
    ok = py_context_router:reload_pool(mine, #{preload_code => "x = 8"}),
    ?assertEqual([{ok, 8}, {ok, 8}], [x(C) || C <- Contexts]).

both(_) ->
    ok = py_preload:set_code(<<"x = [1]">>),
    {ok, C} = py_context:new(#{preload_code => "x.append(2)"}),
    ?assertEqual({ok, [1, 2]}, x(C)).

%% After the environment, the paths and the imports.
comes_last(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    ok = file:write_file(filename:join(Dir, "comes_first.py"), "import os\nv = os.environ['V']\n"),
    {ok, C} = py_context:new(#{env => #{"V" => "1"}, paths => [Dir], imports => [comes_first],
                               preload_code => "import sys\nx = sys.modules['comes_first'].v"}),
    ?assertEqual({ok, <<"1">>}, x(C)).

what_it_is(_) ->
    {ok, C} = py_context:new(#{preload_code => "x = __name__, 'gr\x{fc}\x{df}e \x{20ac}'"}),
    ?assertEqual({ok, {<<"__main__">>, <<"gr\x{fc}\x{df}e \x{20ac}"/utf8>>}}, x(C)).

-define(BAD, "import math\ndef f():\n    return math.sqrt(-1)\nx = f()\n").

raises(_) ->
    {error, {boot_failed, {"ValueError", Message}}} = py_context:new(#{preload_code => ?BAD}),
    ?assertNotEqual(nomatch, string:find(Message, "(<preload_code>, line 3)")),
    ok = py_preload:set_code("\n\nraise SystemExit('no')"),
    {error, {boot_failed, {"SystemExit", Other}}} = py_context:new(#{}),
    ?assertNotEqual(nomatch, string:find(Other, "(<preload>, line 3)")).

syntax(_) ->
    {error, {boot_failed, {"SyntaxError", Message}}} =
        py_context:new(#{preload_code => "x = 1\ny = = 2\n"}),
    ?assertNotEqual(nomatch, string:find(Message, "<preload_code>, line 2")).

%% No context is left of it; those of a pool serve nobody.
never_half_started(_) ->
    Before = contexts(),
    ?assertMatch({error, {boot_failed, {"ValueError", _}}},
                 py_context:new(#{preload_code => ?BAD})),
    {ok, _} = py_context_router:start_pool(bad, 2, #{preload_code => ?BAD}),
    ?assertMatch({error, {boot_failed, {"ValueError", _}}}, py:call(bad, math, sqrt, [16])),
    ok = py_context_router:stop_pool(bad),
    py_ct:eventually(fun() -> contexts() =:= Before end),
    C = py:context(1),
    ok = py:exec(C, "x = 1"),
    ok = py_preload:set_code(?BAD),
    ?assertMatch({error, {boot_failed, {"ValueError", _}}}, py_context:renew(C)),
    ?assertEqual({ok, 1}, x(C)).

contexts() -> lists:sort(py_registry:contexts()).

endless(_) ->
    ?assertEqual({error, {boot_failed, start_timeout}}, boot("while True: pass")),
    ?assertEqual({ok, 4}, py:eval("2 + 2")).

boot(Code) ->
    case py_context:new(#{preload_code => Code}) of
        {error, start_timeout} -> {error, {boot_failed, start_timeout}};
        Other -> Other
    end.

%% A context that can't restart does as soon as the code is right again.
gets_well(_) ->
    C = py:context(1),
    ok = py_preload:set_code(?BAD),
    {error, {crashed, _}} = py:eval(C, "__import__('os')._exit(1)"),
    py_ct:eventually(fun() ->
        case py:eval(C, "2") of
            {error, {boot_failed, {"ValueError", _}}} -> true;
            {error, unavailable} -> true;
            _ -> false
        end
    end),
    ok = py_preload:set_code("x = 5"),
    py_ct:eventually(fun() -> x(C) =:= {ok, 5} end).

no_callbacks(_) ->
    {error, {boot_failed, {"RuntimeError", _}}} =
        py_context:new(#{preload_code => "import erlang\nerlang.call('f')"}).

large(_) ->
    Code = ["x = '", lists:duplicate(49000, $a), "'"],
    {ok, C} = py_context:new(#{preload_code => Code}),
    ?assertEqual({ok, 49000}, py:eval(C, "len(x)")),
    ok = py_preload:set_code(Code),
    {ok, D} = py_context:new(#{preload_code => Code}),
    ?assertEqual({ok, 49000}, py:eval(D, "len(x)")).

invalid(_) ->
    [begin
         ?assertEqual({error, {invalid, code, Bad}}, py_preload:set_code(Bad)),
         ?assertEqual({error, {invalid, preload_code, Bad}},
                      py_context:new(#{preload_code => Bad})),
         ?assertEqual({error, {invalid, preload_code, Bad}},
                      py_context_router:start_pool(bad, 1, #{preload_code => Bad}))
     end || Bad <- [1, code, <<>>, "a\0b", <<255>>, lists:duplicate(50000, $a)]],
    ?assertNot(py_preload:has_preload()).

not_started(_) ->
    ok = py_ct:stop(),
    ?assertEqual({error, not_started}, py_preload:set_code("x")),
    ?assertEqual({error, not_started}, py_preload:clear_code()),
    ?assertEqual(undefined, py_preload:get_code()).
