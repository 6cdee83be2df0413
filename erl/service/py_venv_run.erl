%% SPDX-License-Identifier: Apache-2.0
%% @doc Run a program and show what it says.  No shell is involved: the arguments
%% arrive as they are.  The program's process group ends with the caller, and
%% when its time is up (see `_run.py').
-module(py_venv_run).

-export([run/3, find/1]).

-export_type([options/0]).

-type options() :: #{timeout := timeout(), progress := none | fun((binary()) -> term()),
                     env := #{binary() => binary()}}.

%% Of what a program says so much is kept for an error.
-define(KEPT, 65536).
-define(LONGEST, 4096).

%% @doc Run it; its output (both kinds) goes line by line to `progress', its end
%% to the error.
-spec run(file:name_all(), [file:name_all()], options()) ->
    ok | {error, {exit_code, non_neg_integer(), binary()} | timeout}.
run(Program, Args, #{timeout := Timeout, env := Env} = Options) ->
    Priv = code:priv_dir(terrarium),
    Python = filename:join(Priv, "terrarium_py"),
    Runner = filename:join([Priv, "py", "erlang", "_run.py"]),
    Port = open_port({spawn_executable, Python},
                     [{args, ["python", "-I", Runner, Program | Args]}, {env, env(Env)},
                      {line, ?LONGEST}, binary, exit_status, stderr_to_stdout, use_stdio, hide]),
    collect(Port, py_request:deadline(Timeout), Options, <<>>).

collect(Port, Deadline, Options, Kept) ->
    receive
        {Port, {data, {_, Line}}} ->
            shown(Line, Options),
            collect(Port, Deadline, Options, kept(Kept, Line));
        {Port, {exit_status, 0}} ->
            forget(Port),
            ok;
        {Port, {exit_status, Status}} ->
            forget(Port),
            {error, {exit_code, Status, Kept}}
    after py_request:left(Deadline) ->
        forget(Port),
        {error, timeout}
    end.

shown(_, #{progress := none}) -> ok;
shown(Line, #{progress := Show}) -> _ = Show(Line), ok.

kept(Before, Line) ->
    All = <<Before/binary, Line/binary, "\n">>,
    binary:copy(binary:part(All, byte_size(All), -min(byte_size(All), ?KEPT))).

%% Nothing of it stays in the mailbox of a caller that traps exits.
forget(Port) ->
    _ = py_port:close(Port),
    receive
        {'EXIT', Port, _} -> ok
    after 0 -> ok
    end,
    flush(Port).

flush(Port) ->
    receive
        {Port, _} -> flush(Port)
    after 0 -> ok
    end.

%% What tells a Python where it is must not tell it of another one.
env(Env) ->
    Cleared = [{Name, false} || {Name, _} <- os:env(), is_of_python(Name)],
    Cleared ++ [{unicode:characters_to_list(K), unicode:characters_to_list(V)}
                || {K, V} <- maps:to_list(Env)].

is_of_python("PYTHON" ++ _) -> true;
is_of_python("VIRTUAL_ENV" ++ _) -> true;
is_of_python("__PYVENV_LAUNCHER__") -> true;
is_of_python(_) -> false.

%% @doc The program of this name in PATH.
-spec find(string()) -> {ok, file:filename()} | {error, {executable_not_found, string()}}.
find(Name) ->
    case os:find_executable(Name) of
        false -> {error, {executable_not_found, Name}};
        Path -> {ok, Path}
    end.
