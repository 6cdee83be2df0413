%% SPDX-License-Identifier: Apache-2.0
%% @doc Modules that all contexts of the default pool have.
-module(py_import_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() ->
    [now_and_later, after_a_crash, after_a_renewal, during_a_renewal, in_its_place,
     other_contexts, functions, what_fails, gone_later, lists, cleared, paths, at_once,
     not_started].

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

end_per_testcase(_, _) ->
    py_ct:stop().

%% One that nothing else imports.
-define(M, colorsys).

has(C) -> py:eval(C, "'colorsys' in __import__('sys').modules").

everywhere() -> [has(C) || C <- py_context_router:contexts()].

now_and_later(_) ->
    ?assertEqual([{ok, false}, {ok, false}], everywhere()),
    ok = py_import:ensure_imported(?M),
    ?assertEqual([{ok, true}, {ok, true}], everywhere()),
    ok = py_import:ensure_imported("colorsys"),
    ?assert(py_import:is_imported(<<"colorsys">>)),
    ?assertNot(py_import:is_imported(wave)),
    ok = py:stop_contexts(),
    {ok, _} = py_context_router:start_pool(default, 3),
    ?assertEqual([{ok, true}, {ok, true}, {ok, true}], everywhere()).

after_a_crash(_) ->
    ok = py_import:ensure_imported(?M),
    C = py:context(1),
    {error, {crashed, _}} = py:eval(C, "__import__('os')._exit(1)"),
    ?assertEqual([{ok, true}, {ok, true}], everywhere()),
    {ok, #{restarts := 1}} = py_context:info(C).

after_a_renewal(_) ->
    ok = py_import:ensure_imported(?M),
    C = py:context(1),
    ok = py_context:renew(C),
    ?assertEqual({ok, true}, has(C)),
    ok = py_context_router:reload_pool(default, #{env => #{"A" => "b"}}),
    ?assertEqual([{ok, true}, {ok, true}], everywhere()),
    ?assertEqual({ok, <<"b">>}, py:call(C, os, getenv, [<<"A">>])).

%% The next helper was asked for before the module was.
during_a_renewal(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    Gate = filename:join(Dir, "gate"),
    ok = file:write_file(filename:join(Dir, "waits_at_import.py"),
                         ["import os, time\n"
                          "open('", Gate, ".begun', 'w').close()\n"
                          "while not os.path.exists('", Gate, "'): time.sleep(0.01)\n"]),
    C = py:context(1),
    {ok, Slow} = py_context_opts:context(#{paths => [Dir], imports => [waits_at_import]}),
    Self = self(),
    spawn_link(fun() -> Self ! {renewed, py_caller:renew(C, Slow#{startup => shared})} end),
    py_ct:eventually(fun() -> filelib:is_file(Gate ++ ".begun") end),
    ok = py_import:ensure_imported(?M),
    ok = file:write_file(Gate, <<>>),
    receive {renewed, Result} -> ?assertEqual(ok, Result) end,
    ?assertEqual({ok, true}, has(C)),
    ?assertEqual({ok, true}, py:eval(C, "'waits_at_import' in __import__('sys').modules")).

%% The process of a context ends, and another one takes its place.
in_its_place(_) ->
    ok = py_import:ensure_imported(?M),
    C = py:context(1),
    ok = py_context:stop(C),
    py_ct:eventually(fun() -> py:context(1) =/= C end),
    ?assertEqual({ok, true}, has(py:context(1))).

other_contexts(_) ->
    ok = py_import:ensure_imported(?M),
    {ok, C} = py_context:new(#{}),
    ?assertEqual({ok, false}, has(C)),
    ok = py_context:stop(C).

functions(_) ->
    ok = py_import:ensure_imported(?M, rgb_to_hsv),
    ok = py_import:ensure_imported("os", "path.join"),
    ?assertMatch({error, {"AttributeError", _}}, py_import:ensure_imported(wave, no_such)),
    ?assertMatch({error, {"AttributeError", _}}, py_import:ensure_imported(os, 'path.no_such')),
    ?assertEqual({ok, #{<<"colorsys">> => [<<"rgb_to_hsv">>], <<"os">> => [<<"path.join">>]}},
                 py_import:import_list()).

%% What can't be imported is not tried again by contexts that start.
what_fails(_) ->
    ?assertMatch({error, {"ModuleNotFoundError", _}}, py_import:ensure_imported(no_such_module)),
    ?assertNot(py_import:is_imported(no_such_module)),
    [?assertEqual({error, {invalid, module, Bad}}, py_import:ensure_imported(Bad))
     || Bad <- [1, <<>>, {a}, "a\0b"]],
    ?assertEqual({error, {invalid, function, 7}}, py_import:ensure_imported(os, 7)),
    ok = py_context:renew(py:context(1)),
    ?assertEqual({ok, #{}}, py_import:import_list()).

%% A module that can't be imported any more keeps contexts from starting.
gone_later(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    File = filename:join(Dir, "here_for_now.py"),
    ok = file:write_file(File, "x = 1\n"),
    ok = py_import:add_path(Dir),
    ok = py_import:ensure_imported(here_for_now, x),
    ok = file:delete(File),
    {ok, _} = file:list_dir(Dir),
    _ = file:del_dir_r(filename:join(Dir, "__pycache__")),
    ?assertMatch({error, {boot_failed, {"ModuleNotFoundError", _}}},
                 py_context:renew(py:context(1))),
    ?assertEqual({ok, 1}, py:eval(py:context(1), "__import__('here_for_now').x")).

lists(_) ->
    ?assertEqual({ok, #{}}, py_import:import_list()),
    ?assertEqual({ok, #{count => 0, functions => 0, paths => 0, contexts => 2}},
                 py_import:import_stats()),
    ok = py_import:ensure_imported(?M),
    ok = py_import:ensure_imported(json, dumps),
    ok = py_import:ensure_imported(json, loads),
    ok = py_import:ensure_imported(json, loads),
    ?assertEqual({ok, #{<<"colorsys">> => [], <<"json">> => [<<"dumps">>, <<"loads">>]}},
                 sorted(py_import:import_list())),
    ?assertEqual({ok, #{count => 2, functions => 2, paths => 0, contexts => 2}},
                 py_import:import_stats()).

sorted({ok, Map}) -> {ok, maps:map(fun(_, L) -> lists:sort(L) end, Map)}.

cleared(_) ->
    ok = py_import:ensure_imported(?M, hls_to_rgb),
    ok = py_import:clear_imports(),
    ?assertNot(py_import:is_imported(?M)),
    ?assertEqual([{ok, true}, {ok, true}], everywhere()),
    ok = py_context:renew(py:context(1)),
    ?assertEqual([{ok, false}, {ok, true}], everywhere()).

paths(Config) ->
    Dir = proplists:get_value(priv_dir, Config),
    [ok = file:make_dir(filename:join(Dir, D)) || D <- ["one", "two"]],
    [One, Two] = [filename:join(Dir, D) || D <- ["one", "two"]],
    [ok = file:write_file(filename:join(D, "added_later.py"), ["where = '", D, "'\n"])
     || D <- [One, Two]],
    ok = py_import:add_path(One),
    ok = py_import:add_path(Two),
    ok = py_import:add_path(Two),
    ?assertEqual([list_to_binary(Two), list_to_binary(One)], py_import:paths()),
    Where = {ok, list_to_binary(Two)},
    Look = fun() -> py:eval(py:context(1), "__import__('added_later').where") end,
    ?assertEqual(Where, Look()),
    ok = py_context:renew(py:context(1)),
    ?assertEqual(Where, Look()),
    ?assertEqual({error, {invalid, path, dir}}, py_import:add_path(dir)),
    ok = py_import:clear_paths(),
    ok = py_context:renew(py:context(1)),
    ?assertMatch({error, {"ModuleNotFoundError", _}}, Look()).

at_once(_) ->
    Modules = [colorsys, wave, cmd, csv, calendar, bisect, heapq, fractions],
    Results = py_ct:parallel(8, fun(N) -> py_import:ensure_imported(lists:nth(N, Modules)) end),
    ?assertEqual([ok || _ <- Modules], Results),
    {ok, List} = py_import:import_list(),
    ?assertEqual(8, map_size(List)).

not_started(_) ->
    ok = py_ct:stop(),
    ?assertEqual({error, not_started}, py_import:ensure_imported(os)),
    ?assertEqual({error, not_started}, py_import:add_path("/tmp")),
    ?assertEqual({error, not_started}, py_import:clear_imports()),
    ?assertNot(py_import:is_imported(os)),
    ?assertEqual({ok, #{}}, py_import:import_list()).
