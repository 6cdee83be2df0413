%% SPDX-License-Identifier: Apache-2.0
%% @doc Virtual environments: made, filled, and used by a pool.
%%
%% A pool that uses an environment has a runtime of its own, so that several of
%% them, and several Pythons, serve side by side.  Moving a pool to another one
%% fails no call: its contexts change one after the other.
%%
%% Errors: `{invalid_venv, Why}', `{executable_not_found, Name}',
%% `{exit_code, Status, Output}' of the program that failed, `timeout',
%% `{invalid, Key, Value}', and those of {@link py_context_router:reload_pool/2}.
-module(py_venv).

-export([ensure/3, activate/2, deactivate/1, info/1]).

-export_type([requirements/0, options/0]).

-type requirements() :: file:name_all() | [file:name_all()].
%% A file of requirements, a project (its directory or its `pyproject.toml'), or
%% a list of requirements.

-type options() :: #{atom() => term()} | [{atom(), term()} | atom()].
%% See `py:ensure_venv/3'.

-define(CHECK, '$py_venv').       % no runtime's name
%% How often a runtime that starts is looked at.
-define(LOOK_MS, 20).
-define(STAMP, "terrarium-installed").

%%% Making one

%% @doc Make the environment if it is not there, install what is required if that
%% has changed, and let the pool use it.
-spec ensure(file:name_all(), requirements(), options()) -> ok | {error, term()}.
ensure(Path, Requirements, Given) ->
    case {terrarium_config:path(Path), py_venv_opts:options(Given),
          py_venv_opts:requirements(Requirements)} of
        {error, _, _} -> {error, {invalid, path, Path}};
        {_, {error, _} = Error, _} -> Error;
        {_, _, {error, _} = Error} -> Error;
        {{ok, P}, {ok, Options}, {ok, Required}} ->
            case py_venv_opts:install_args(Required, Options) of
                {ok, Args} -> ensured(filename:absname(P), Required, Args, Options);
                {error, _} = Error -> Error
            end
    end.

ensured(Path, Required, Args, #{pool := Pool} = Options) ->
    %% Two that want the same wait for each other.
    Made = global:trans({{?MODULE, Path}, self()},
                        fun() -> made(Path, Required, Args, Options) end, [node()]),
    case {Made, Options} of
        {{error, _} = Error, _} -> Error;
        {_, #{activate := false}} -> ok;
        {unchanged, _} -> activate_unless_active(Path, Pool);
        {changed, _} -> activate(Path, Pool)
    end.

made(Path, Required, Args, Options) ->
    steps([fun() -> clear(Path, Options) end,
           fun() -> create(Path, Options) end,
           fun() -> check_python(Path, Options) end,
           fun() -> install(Path, Required, Args, Options) end], unchanged).

steps([], Result) ->
    Result;
steps([Step | Rest], Result) ->
    case Step() of
        ok -> steps(Rest, Result);
        changed -> steps(Rest, changed);
        {error, _} = Error -> Error
    end.

%% Only what is an environment is ever removed.
clear(Path, #{force := Force}) ->
    case {kind(Path), Force} of
        {other, _} -> {error, {invalid_venv, {not_a_venv, Path}}};
        {venv, true} ->
            case file:del_dir_r(Path) of
                ok -> ok;
                {error, Reason} -> {error, {invalid_venv, {Reason, Path}}}
            end;
        _ -> ok
    end.

kind(Path) ->
    case {filelib:is_file(filename:join(Path, "pyvenv.cfg")), file:list_dir(Path)} of
        {true, _} -> venv;
        {false, {ok, []}} -> none;
        {false, {error, enoent}} -> none;
        _ -> other
    end.

%% One that was not finished is finished.
create(Path, Options) ->
    case kind(Path) =:= venv andalso is_complete(Path, Options) of
        true -> ok;
        false -> created(Path, Options)
    end.

is_complete(Path, #{installer := uv}) ->
    filelib:is_file(python(Path));
is_complete(Path, _) ->
    filelib:is_file(python(Path)) andalso filelib:is_file(filename:join([Path, "bin", "pip"])).

created(Path, #{installer := Installer} = Options) ->
    case {interpreter(Options), installer(Installer)} of
        {{error, _} = Error, _} -> Error;
        {_, {error, _} = Error} -> Error;
        {{ok, Python}, {ok, pip}} -> run(Python, ["-m", "venv", Path], Options);
        {{ok, Python}, {ok, Uv}} -> run(Uv, ["venv", "--python", Python, Path], Options)
    end.

installer(pip) -> {ok, pip};
installer(uv) -> py_venv_run:find("uv").

run(Program, Args, Options) ->
    case py_venv_run:run(Program, Args, maps:with([timeout, progress, env], Options)) of
        ok -> changed;
        {error, _} = Error -> Error
    end.

%% The one that is asked for, or that of the default runtime.
interpreter(#{python := Python}) ->
    case {binary:match(Python, <<"/">>), filelib:is_regular(Python)} of
        {nomatch, _} -> py_venv_run:find("python" ++ binary_to_list(Python));
        {_, true} -> {ok, Python};
        {_, false} -> {error, {executable_not_found, binary_to_list(Python)}}
    end;
interpreter(_) ->
    of_runtime(py_request:deadline(terrarium_config:get(start_timeout))).

of_runtime(Deadline) ->
    case {py_runtime:info(default), py_request:left(Deadline)} of
        {{ok, #{zygote := #{<<"executable">> := E}}}, _} when byte_size(E) > 0 ->
            {ok, E};
        {{ok, #{status := starting}}, Left} when Left > 0 ->
            timer:sleep(?LOOK_MS),
            of_runtime(Deadline);
        _ ->
            py_venv_run:find("python3")
    end.

check_python(Path, #{python := Wanted}) ->
    Version = case py_runtime_cmd:version(#{venv => Path}) of
                  {ok, V} -> list_to_binary(V);
                  {error, _} -> unknown
              end,
    case re:run(Wanted, "(3\\.[0-9]+)$", [{capture, all_but_first, binary}]) of
        {match, [Version]} -> ok;
        nomatch -> ok;
        {match, _} -> {error, {invalid_venv, {python, Version, Wanted}}}
    end;
check_python(_, _) ->
    ok.

install(_, none, _, _) ->
    ok;
install(Path, Required, Args, #{installer := Installer} = Options) ->
    Stamp = filename:join(Path, ?STAMP),
    Now = py_venv_opts:digest(Required, Args, Options),
    case {file:read_file(Stamp), installer(Installer)} of
        {{ok, Now}, _} -> ok;
        {_, {error, _} = Error} -> Error;
        {_, {ok, Found}} -> installed(run_installer(Found, Path, Args, Options), Stamp, Now)
    end.

run_installer(pip, Path, Args, Options) ->
    Quiet = ["--disable-pip-version-check", "--no-input"],
    run(python(Path), ["-m", "pip", "install"] ++ Quiet ++ Args, Options);
run_installer(Uv, Path, Args, Options) ->
    run(Uv, ["pip", "install", "--python", python(Path) | Args], Options).

installed(changed, Stamp, Now) ->
    case file:write_file(Stamp, Now) of
        ok -> changed;
        {error, Reason} -> {error, {invalid_venv, {Reason, Stamp}}}
    end;
installed(Error, _, _) ->
    Error.

python(Path) ->
    filename:join([Path, "bin", "python"]).

%%% Using one

%% @doc Let this pool use it: its contexts change to helpers of a runtime that
%% has the environment.
-spec activate(file:name_all(), atom()) -> ok | {error, term()}.
activate(Path, Pool) ->
    case terrarium_config:path(Path) of
        {ok, P} ->
            Venv = filename:absname(P),
            case check(Venv) of
                ok -> py_pool_change:change(Pool, fun(Given) -> with(Venv, Given) end);
                {error, _} = Error -> Error
            end;
        error ->
            {error, {invalid, path, Path}}
    end.

with(Venv, Given) ->
    (maps:remove(python, Given))#{venv => Venv}.

check(Venv) ->
    case {kind(Venv), py_runtime_cmd:command(?CHECK, #{venv => Venv})} of
        {venv, {ok, _}} -> ok;
        {venv, {error, Why}} -> {error, {invalid_venv, Why}};
        {_, _} -> {error, {invalid_venv, {no_venv, Venv}}}
    end.

activate_unless_active(Path, Pool) ->
    case py_pool_change:options(Pool) of
        {ok, #{venv := Path}} -> ok;
        _ -> activate(Path, Pool)
    end.

%% @doc Let this pool use the Python again that its runtime has; fine if it does.
-spec deactivate(atom()) -> ok | {error, term()}.
deactivate(Pool) ->
    case py_pool_change:options(Pool) of
        {ok, #{venv := _}} ->
            py_pool_change:change(Pool, fun(Given) -> maps:remove(venv, Given) end);
        {ok, _} ->
            ok;
        {error, _} = Error ->
            Error
    end.

%% @doc What the Python of this pool says about where it is.
-spec info(atom()) -> {ok, map()} | {error, term()}.
info(Pool) ->
    Code = <<"(lambda sys, sysconfig: {'active': sys.prefix != sys.base_prefix,"
             " 'venv_path': sys.prefix, 'base_path': sys.base_prefix,"
             " 'python': sys.executable, 'version': '.'.join(map(str, sys.version_info[:3])),"
             " 'site_packages': sysconfig.get_path('purelib'), 'sys_path': sys.path})"
             "(__import__('sys'), __import__('sysconfig'))">>,
    case py_context_router:get_context(Pool) of
        {ok, Context} ->
            case py_context:eval(Context, Code, #{}, terrarium_config:get(call_timeout)) of
                {ok, #{<<"active">> := false} = Info} -> {ok, maps:remove(<<"venv_path">>, Info)};
                Result -> Result
            end;
        {error, _} = Error ->
            Error
    end.
