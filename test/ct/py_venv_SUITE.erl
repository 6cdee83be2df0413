%% SPDX-License-Identifier: Apache-2.0
%% @doc Virtual environments: made, filled from local packages, used side by
%% side.  Nothing here needs an index of packages.
-module(py_venv_SUITE).
-compile([export_all, nowarn_export_all]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 5}}].

all() ->
    [no_environment, bad_arguments, requirements_as_a_file, requirements_as_a_list,
     a_project_with_extras, changed_requirements, recreated_by_force, unfinished,
     activation_fails_no_call, several_side_by_side, pth_files, an_active_one_is_left_alone,
     invalid_environments, installer_fails, uv, executables_not_found, wrong_python,
     output_is_bounded_and_shown, time_is_up, caller_dies, clean_environment,
     arguments_are_no_code].

%% One environment is made with pip; most tests only need to read it.
init_per_suite(Config) ->
    %% The suites of a run share their private directory.
    Dir = filename:join(proplists:get_value(priv_dir, Config), "venvs"),
    ok = filelib:ensure_path(Dir),
    ok = py_ct:start([{contexts, 1}]),
    Wheel = wheel(Dir, "tiny", "1.0", "value = 1\n"),
    Venv = filename:join(Dir, "venv with space"),
    ok = py:ensure_venv(Venv, [Wheel], #{activate => false, progress => none, args => no_index()}),
    [{venv, Venv}, {wheel, Wheel}, {dir, Dir} | Config].

end_per_suite(_) ->
    py_ct:stop().

init_per_testcase(_, Config) ->
    ok = py_ct:start([{contexts, 2}]),
    Config.

end_per_testcase(_, _) ->
    ok = py_ct:stop(),
    ?assertEqual([], py_ct:mailbox()).

no_index() -> ["--no-index"].

get(Key, Config) -> proplists:get_value(Key, Config).

%% A wheel is a zip file of a module and what describes it.
wheel(Dir, Name, Version, Source) ->
    Info = lists:concat([Name, "-", Version, ".dist-info"]),
    Files = [{Name ++ ".py", list_to_binary(Source)},
             {Info ++ "/METADATA", iolist_to_binary(["Metadata-Version: 2.1\nName: ", Name,
                                                     "\nVersion: ", Version, "\n"])},
             {Info ++ "/WHEEL", <<"Wheel-Version: 1.0\nGenerator: ct\n"
                                  "Root-Is-Purelib: true\nTag: py3-none-any\n">>},
             {Info ++ "/RECORD", <<>>}],
    Path = filename:join(Dir, lists:concat([Name, "-", Version, "-py3-none-any.whl"])),
    {ok, _} = zip:create(Path, Files),
    Path.

%% A program of this name, first in PATH, while the fun runs.
with_program(Config, Name, Script, Fun) ->
    Bin = filename:join(get(dir, Config), "bin-" ++ Name),
    File = filename:join(Bin, Name),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, ["#!/bin/sh\n", Script]),
    ok = file:change_mode(File, 8#755),
    with_path(Bin ++ ":" ++ os:getenv("PATH"), fun() -> Fun(Bin) end).

with_path(Path, Fun) ->
    Before = os:getenv("PATH"),
    true = os:putenv("PATH", Path),
    try Fun() after true = os:putenv("PATH", Before) end.

%% A directory that looks like an environment made with this Python.
hollow(Config, Name, Version) ->
    Dir = filename:join(get(dir, Config), Name),
    ok = filelib:ensure_dir(filename:join([Dir, "bin", "x"])),
    ok = file:write_file(filename:join(Dir, "pyvenv.cfg"), ["version = ", Version, ".0\n"]),
    ok = file:write_file(filename:join([Dir, "bin", "python"]), <<>>),
    Dir.

%%% The default pool

no_environment(_) ->
    {ok, Info} = py:venv_info(),
    ?assertMatch(#{<<"active">> := false, <<"sys_path">> := [_ | _]}, Info),
    ?assertNot(is_map_key(<<"venv_path">>, Info)),
    ok = py:deactivate_venv(),
    ok = py:stop_contexts(),
    ?assertEqual({error, {no_pool, default}}, py:venv_info()),
    ?assertEqual({error, {no_pool, default}}, py:deactivate_venv()).

bad_arguments(Config) ->
    New = filename:join(get(dir, Config), "never"),
    Options = [{installer, conda}, {extras, ["a;b"]}, {extras, "dev"}, {python, "perl"},
               {force, 1}, {timeout, 0}, {timeout, soon}, {progress, 1}, {args, x}, {env, x},
               {activate, 1}, {pool, "x"}, {colour, red}],
    [?assertEqual({error, {invalid, K, V}}, py:ensure_venv(New, [], #{K => V}))
     || {K, V} <- Options],
    ?assertEqual({error, {invalid, options, 5}}, py:ensure_venv(New, [], 5)),
    [?assertEqual({error, {invalid, requirements, R}}, py:ensure_venv(New, R))
     || R <- ["/no/such/file", 5, ["--index-url=http://localhost"], [<<"-e .">>],
              get(dir, Config)]],
    ?assertEqual({error, {invalid, extras, [<<"dev">>]}},
                 py:ensure_venv(New, [get(wheel, Config)], [{extras, [dev]}])),
    ?assertEqual({error, {invalid, path, 7}}, py:ensure_venv(7, [])),
    ?assertEqual({error, {invalid, path, 7}}, py:activate_venv(7)),
    ?assertNot(filelib:is_file(New)).

requirements_as_a_list(Config) ->
    {ok, #{<<"active">> := false}} = py:venv_info(),
    ok = py:activate_venv(get(venv, Config)),
    ?assertEqual({ok, 1}, py:eval("__import__('tiny').value")),
    Venv = unicode:characters_to_binary(get(venv, Config)),
    {ok, #{<<"active">> := true, <<"venv_path">> := Venv, <<"site_packages">> := Site,
           <<"sys_path">> := Path}} = py:venv_info(),
    ?assert(lists:member(Site, Path)),
    ?assertEqual({match, [{0, byte_size(Venv)}]}, {match, [binary:match(Site, Venv)]}),
    ok = py:deactivate_venv(),
    ?assertMatch({error, {"ModuleNotFoundError", _}}, py:eval("__import__('tiny')")),
    ?assertMatch({ok, #{<<"active">> := false}}, py:venv_info()).

requirements_as_a_file(Config) ->
    Dir = get(dir, Config),
    _ = wheel(Dir, "from_file", "2.5", "value = 'file'\n"),
    File = filename:join(Dir, "requirements.txt"),
    ok = file:write_file(File, ["--no-index\n--find-links ", Dir, "\nfrom_file>=2\n"]),
    Links = filename:join(Dir, "with_file"),
    ok = py:ensure_venv(Links, File, [{progress, none}]),
    ?assertEqual({ok, <<"file">>}, py:eval("__import__('from_file').value")),
    ?assertEqual({ok, <<"file">>}, py:eval("__import__('from_file').value")).

%% Its build needs nothing that is not in it.
project(Dir, Value) ->
    Project = filename:join(Dir, "project"),
    ok = filelib:ensure_dir(filename:join(Project, "x")),
    Write = fun(Name, Text) -> ok = file:write_file(filename:join(Project, Name), Text) end,
    Write("pyproject.toml", ["[build-system]\nrequires = []\nbuild-backend = 'backend'\n"
                             "backend-path = ['.']\n[project]\nname = 'proj'\nversion = '1'\n"
                             "# ", Value, "\n"]),
    Write("backend.py",
          ["import os, zipfile\n"
           "def build_wheel(directory, settings=None, metadata=None):\n"
           "    name = 'proj-1-py3-none-any.whl'\n"
           "    info = 'proj-1.dist-info/'\n"
           "    with zipfile.ZipFile(os.path.join(directory, name), 'w') as z:\n"
           "        z.writestr('proj.py', 'value = \"", Value, "\"\\n')\n"
           "        z.writestr(info + 'METADATA', 'Metadata-Version: 2.1\\nName: proj\\n'\n"
           "                   'Version: 1\\nProvides-Extra: more\\n'\n"
           "                   'Requires-Dist: tiny; extra == \"more\"\\n')\n"
           "        z.writestr(info + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: ct\\n'\n"
           "                   'Root-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
           "        z.writestr(info + 'RECORD', '')\n"
           "    return name\n"]),
    Project.

a_project_with_extras(Config) ->
    Dir = get(dir, Config),
    Project = project(Dir, "first"),
    Venv = filename:join(Dir, "with_project"),
    Options = #{extras => [more], args => no_index() ++ ["--find-links", Dir], progress => none},
    ok = py:ensure_venv(Venv, filename:join(Project, "pyproject.toml"), Options),
    ?assertEqual({ok, [<<"first">>, 1]},
                 py:eval("[__import__('proj').value, __import__('tiny').value]")).

changed_requirements(Config) ->
    Dir = get(dir, Config),
    Venv = filename:join(Dir, "with_project"),
    Options = #{args => no_index() ++ ["--find-links", Dir], progress => shower()},
    ok = py:ensure_venv(Venv, project(Dir, "second"), Options),
    ?assertMatch([_ | _], shown()),
    ?assertEqual({ok, <<"second">>}, py:eval("__import__('proj').value")),
    {ok, #{renewals := Before}} = py:stats(default),
    ok = py:ensure_venv(Venv, project(Dir, "second"), Options),
    ?assertEqual([], shown()),
    ?assertMatch({ok, #{renewals := Before}}, py:stats(default)).

shower() ->
    Self = self(),
    fun(Line) -> Self ! {shown, Line} end.

shown() ->
    receive {shown, Line} -> [Line | shown()] after 0 -> [] end.

recreated_by_force(Config) ->
    Venv = filename:join(get(dir, Config), "with_project"),
    ok = file:write_file(filename:join(Venv, "left"), <<>>),
    ok = py:ensure_venv(Venv, [], #{progress => none}),
    ?assert(filelib:is_file(filename:join(Venv, "left"))),
    ok = py:ensure_venv(Venv, [], [force, {progress, none}]),
    ?assertNot(filelib:is_file(filename:join(Venv, "left"))),
    ?assertMatch({error, {"ModuleNotFoundError", _}}, py:eval("__import__('proj')")).

%% What was interrupted half-way is finished.
unfinished(Config) ->
    Venv = filename:join(get(dir, Config), "unfinished"),
    {ok, Python} = py:eval("__import__('sys').executable"),
    ok = py_venv_run:run(Python, ["-m", "venv", "--without-pip", Venv],
                         #{timeout => infinity, progress => none, env => #{}}),
    ok = py:ensure_venv(Venv, [get(wheel, Config)], #{progress => none, args => no_index()}),
    ?assertEqual({ok, 1}, py:eval("__import__('tiny').value")).

activation_fails_no_call(Config) ->
    Self = self(),
    Callers = [spawn_link(fun() -> call_on(Self, []) end) || _ <- lists:seq(1, 4)],
    [begin
         ok = py:activate_venv(get(venv, Config)),
         ?assertEqual({ok, 1}, py:eval("__import__('tiny').value")),
         ok = py:deactivate_venv()
     end || _ <- lists:seq(1, 5)],
    [C ! stop || C <- Callers],
    ?assertEqual([[], [], [], []], [receive {bad, C, Bad} -> Bad end || C <- Callers]),
    py_ct:eventually(fun() -> [default] =:= [N || {N, _} <- py_registry:runtimes()] end).

call_on(Parent, Bad) ->
    Next = case py:call(math, sqrt, [16]) of
               {ok, 4.0} -> Bad;
               Other -> [Other | Bad]
           end,
    receive
        stop -> Parent ! {bad, self(), Next}
    after 0 -> call_on(Parent, Next)
    end.

several_side_by_side(Config) ->
    Dir = get(dir, Config),
    Other = filename:join(Dir, "other"),
    Wheel = wheel(Dir, "tiny", "2.0", "value = 2\n"),
    {ok, _} = py_context_router:start_pool(second, 1),
    ok = py:ensure_venv(Other, [Wheel], #{pool => second, progress => none, args => no_index()}),
    ok = py:activate_venv(get(venv, Config)),
    {ok, _} = py_context_router:start_pool(third, 1, #{venv => get(venv, Config)}),
    {ok, _} = py_context_router:start_pool(fourth, 1),
    ?assertMatch({error, {"ModuleNotFoundError", _}}, py:eval(fourth, "__import__('tiny')")),
    ?assertEqual([{ok, 1}, {ok, 2}, {ok, 1}],
                 [py:eval(P, "__import__('tiny').value") || P <- [default, second, third]]),
    {ok, #{<<"venv_path">> := Path}} = py:venv_info(second),
    ?assertEqual(unicode:characters_to_binary(Other), Path),
    %% An installed wheel's file name is one thing, what `tiny' is another.
    ok = file:delete(Wheel),
    %% A crash does not lose it.
    {error, {crashed, _}} = py:call(second, os, '_exit', [1]),
    ?assertEqual({ok, 2}, py:eval(second, "__import__('tiny').value")).

pth_files(Config) ->
    ok = py:activate_venv(get(venv, Config)),
    {ok, #{<<"site_packages">> := Site}} = py:venv_info(),
    Extra = filename:join(get(dir, Config), "extra"),
    ok = filelib:ensure_dir(filename:join(Extra, "x")),
    ok = file:write_file(filename:join(Extra, "by_pth.py"), "value = 3\n"),
    Pth = filename:join(Site, "extra.pth"),
    ok = file:write_file(Pth, [Extra, "\nimport sys; sys.by_pth = 'ran'\n"]),
    ok = py:activate_venv(get(venv, Config)),
    ?assertEqual({ok, [3, <<"ran">>]},
                 py:eval("[__import__('by_pth').value, __import__('sys').by_pth]")),
    ok = file:delete(Pth).

an_active_one_is_left_alone(Config) ->
    Options = #{args => no_index(), progress => shower()},
    ok = py:ensure_venv(get(venv, Config), [get(wheel, Config)], Options),
    {ok, #{renewals := 2}} = py:stats(default),
    ok = py:ensure_venv(get(venv, Config), [get(wheel, Config)], Options),
    ?assertEqual([], shown()),
    ?assertMatch({ok, #{renewals := 2}}, py:stats(default)).

%%% What goes wrong

invalid_environments(Config) ->
    Dir = get(dir, Config),
    Missing = filename:join(Dir, "missing"),
    ?assertMatch({error, {invalid_venv, {no_venv, _}}}, py:activate_venv(Missing)),
    ?assertMatch({error, {invalid_venv, {no_venv, _}}}, py:activate_venv(Dir)),
    ?assertMatch({error, {invalid_venv, {not_built, "terrarium_py-3.1"}}},
                 py:activate_venv(hollow(Config, "old", "3.1"))),
    ?assertMatch({error, {invalid_venv, {unknown_version, _}}},
                 py:activate_venv(hollow(Config, "odd", "two"))),
    %% A directory that is none is not touched, not even by force.
    Home = filename:join(Dir, "home"),
    Precious = filename:join(Home, "precious"),
    ok = filelib:ensure_dir(Precious),
    ok = file:write_file(Precious, <<"1">>),
    ?assertMatch({error, {invalid_venv, {not_a_venv, _}}}, py:ensure_venv(Home, [], [force])),
    ?assertEqual({ok, <<"1">>}, file:read_file(Precious)),
    ?assertMatch({ok, #{<<"active">> := false}}, py:venv_info()).

installer_fails(Config) ->
    Venv = get(venv, Config),
    {error, {exit_code, 1, Output}} =
        py:ensure_venv(Venv, ["no_such_package==9"], #{progress => none, args => no_index()}),
    ?assertMatch({_, _}, binary:match(Output, <<"no_such_package">>)),
    ?assertMatch({ok, #{<<"active">> := false}}, py:venv_info()).

%% What uv is told; the environment itself is made by another.
uv(Config) ->
    Venv = filename:join(get(dir, Config), "by_uv"),
    {ok, Python} = py:eval("__import__('sys').executable"),
    Script = ["echo \"$@\"\nif [ \"$1\" = venv ]; then exec ", Python,
              " -m venv --without-pip \"$4\"; fi\n"],
    Options = #{installer => uv, progress => shower(), args => ["--offline"]},
    with_program(Config, "uv", Script,
                 fun(_) -> ok = py:ensure_venv(Venv, ["tiny"], Options) end),
    Bin = filename:join([Venv, "bin", "python"]),
    ?assertEqual([iolist_to_binary(["venv --python ", Python, " ", Venv]),
                  iolist_to_binary(["pip install --python ", Bin, " --offline tiny"])], shown()),
    ?assertMatch({ok, #{<<"active">> := true}}, py:venv_info()).

executables_not_found(Config) ->
    New = filename:join(get(dir, Config), "never"),
    Path = filename:join(get(dir, Config), "nothing_here"),
    with_path(Path, fun() ->
        ?assertEqual({error, {executable_not_found, "uv"}},
                     py:ensure_venv(New, [], #{installer => uv})),
        ?assertEqual({error, {executable_not_found, "uv"}},
                     py:ensure_venv(get(venv, Config), ["x"], #{installer => uv})),
        ?assertEqual({error, {executable_not_found, "python3.1"}},
                     py:ensure_venv(New, [], #{python => "3.1"}))
    end),
    ?assertEqual({error, {executable_not_found, "/no/python"}},
                 py:ensure_venv(New, [], #{python => "/no/python"})),
    ?assertNot(filelib:is_file(New)).

wrong_python(Config) ->
    ?assertMatch({error, {invalid_venv, {python, _, <<"3.1">>}}},
                 py:ensure_venv(get(venv, Config), [], #{python => "3.1"})).

output_is_bounded_and_shown(Config) ->
    Script = "i=0; while [ $i -lt 3000 ]; do i=$((i+1))\n"
             "echo \"line $i of many, as long as some\"; done; echo last; exit 3\n",
    New = filename:join(get(dir, Config), "never"),
    with_program(Config, "uv", Script, fun(_) ->
        {error, {exit_code, 3, Output}} =
            py:ensure_venv(New, [], #{installer => uv, progress => shower()}),
        ?assert(byte_size(Output) =< 65536),
        ?assertMatch(<<"last\n">>, binary:part(Output, byte_size(Output), -5)),
        ?assertEqual(3001, length(shown()))
    end).

%% Whatever the installer started ends with it.
sleeper(Dir) ->
    ["sleep 3600 & echo $! > ", Dir, "/one; echo $$ > ", Dir, "/two; wait\n"].

sleepers(Dir) ->
    [begin
         py_ct:eventually(fun() -> filelib:file_size(filename:join(Dir, F)) > 0 end),
         {ok, Text} = file:read_file(filename:join(Dir, F)),
         binary_to_integer(string:trim(Text))
     end || F <- ["one", "two"]].

scratch(Config, Name) ->
    Dir = filename:join(get(dir, Config), Name),
    ok = filelib:ensure_dir(filename:join(Dir, "x")),
    _ = [file:delete(filename:join(Dir, F)) || F <- ["one", "two"]],
    Dir.

time_is_up(Config) ->
    Dir = scratch(Config, "up"),
    New = filename:join(get(dir, Config), "never"),
    with_program(Config, "uv", sleeper(Dir), fun(_) ->
        ?assertEqual({error, timeout},
                     py:ensure_venv(New, [], #{installer => uv, timeout => 1500})),
        py_ct:eventually(fun() -> not lists:any(fun py_ct:alive/1, sleepers(Dir)) end)
    end).

caller_dies(Config) ->
    Dir = scratch(Config, "dies"),
    New = filename:join(get(dir, Config), "never"),
    with_program(Config, "uv", sleeper(Dir), fun(_) ->
        {Pid, Mon} = spawn_monitor(fun() -> py:ensure_venv(New, [], #{installer => uv}) end),
        Sleepers = sleepers(Dir),
        ?assert(lists:all(fun py_ct:alive/1, Sleepers)),
        exit(Pid, kill),
        receive {'DOWN', Mon, process, Pid, killed} -> ok end,
        py_ct:eventually(fun() -> not lists:any(fun py_ct:alive/1, Sleepers) end)
    end).

clean_environment(Config) ->
    New = filename:join(get(dir, Config), "never"),
    true = os:putenv("PYTHONHOME", "/nowhere"),
    true = os:putenv("VIRTUAL_ENV", "/nowhere"),
    with_program(Config, "uv", "env; exit 1\n", fun(_) ->
        {error, {exit_code, 1, Output}} =
            py:ensure_venv(New, [], #{installer => uv, progress => none,
                                      env => #{"PIP_INDEX_URL" => "http://localhost/"}}),
        ?assertEqual(nomatch, binary:match(Output, [<<"PYTHON">>, <<"VIRTUAL_ENV">>])),
        ?assertMatch({_, _}, binary:match(Output, <<"PIP_INDEX_URL=http://localhost/">>))
    end),
    true = os:unsetenv("PYTHONHOME"),
    true = os:unsetenv("VIRTUAL_ENV").

arguments_are_no_code(Config) ->
    Dir = get(dir, Config),
    Evil = "x; touch " ++ Dir ++ "/evil; $(touch " ++ Dir ++ "/evil) `touch " ++ Dir ++ "/evil`",
    {error, {exit_code, _, _}} =
        py:ensure_venv(get(venv, Config), [Evil], #{progress => none, args => no_index()}),
    ?assertNot(filelib:is_file(filename:join(Dir, "evil"))).
