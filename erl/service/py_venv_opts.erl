%% SPDX-License-Identifier: Apache-2.0
%% @doc Options and requirements of virtual environments, checked.  Reads files,
%% changes nothing.
-module(py_venv_opts).

-export([options/1, requirements/1, install_args/2, digest/3]).

-export_type([required/0]).

-define(TIMEOUT, 600000).

-type required() :: none | {file, binary()} | {project, binary()} | {list, [binary()]}.

%% @doc Check the options and fill in the defaults.
-spec options(term()) -> {ok, map()} | {error, {invalid, atom(), term()}}.
options(List) when is_list(List) ->
    try proplists:to_map(List) of
        Map -> options(Map)
    catch
        error:_ -> {error, {invalid, options, List}}
    end;
options(Map) when is_map(Map) ->
    fold(maps:to_list(Map), #{installer => pip, force => false, timeout => ?TIMEOUT, extras => [],
                              args => [], env => #{}, progress => fun show/1, activate => true,
                              pool => default});
options(Other) ->
    {error, {invalid, options, Other}}.

fold([], Acc) ->
    {ok, Acc};
fold([{Key, Value} | Rest], Acc) ->
    case check(Key, Value) of
        {ok, Good} -> fold(Rest, Acc#{Key => Good});
        error -> {error, {invalid, Key, Value}}
    end.

check(installer, I) when I =:= pip; I =:= uv -> {ok, I};
check(force, B) when is_boolean(B) -> {ok, B};
check(activate, B) when is_boolean(B) -> {ok, B};
check(pool, Name) when is_atom(Name) -> {ok, Name};
check(timeout, infinity) -> {ok, infinity};
check(timeout, T) when is_integer(T), T > 0, T =< 16#ffffffff -> {ok, T};
check(extras, Names) -> names(Names, "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$");
check(python, Python) -> python(terrarium_config:path(Python));
check(args, Args) -> terrarium_config:names(Args);
check(env, Env) -> terrarium_config:text_map(Env);
check(progress, none) -> {ok, none};
check(progress, Show) when is_function(Show, 1) -> {ok, Show};
check(_, _) -> error.

%% A version or a path; not a name that could be anything.
python({ok, Python}) ->
    case re:run(Python, "^3\\.[0-9]+$|/", [{capture, none}]) of
        match -> {ok, Python};
        nomatch -> error
    end;
python(error) ->
    error.

names(Names, Pattern) ->
    case terrarium_config:names(Names) of
        {ok, Good} ->
            case [N || N <- Good, re:run(N, Pattern, [{capture, none}]) =:= nomatch] of
                [] -> {ok, Good};
                _ -> error
            end;
        error ->
            error
    end.

%% To whoever gets the output of Erlang code.
show(Line) ->
    io:put_chars([text(Line), $\n]).

text(Line) ->
    case unicode:characters_to_list(Line) of
        List when is_list(List) -> List;
        _ -> binary_to_list(Line)
    end.

%% @doc What is required: nothing, a file, a project, or a list.
-spec requirements(term()) -> {ok, required()} | {error, {invalid, requirements, term()}}.
requirements([]) ->
    {ok, none};
requirements([First | _] = List) when not is_integer(First) ->
    %% One that begins with a dash would be an option of the installer.
    case names(List, "^[^-\\s]") of
        {ok, Good} -> {ok, {list, Good}};
        error -> {error, {invalid, requirements, List}}
    end;
requirements(Path) ->
    case terrarium_config:path(Path) of
        {ok, P} -> of_path(filename:absname(P), Path);
        error -> {error, {invalid, requirements, Path}}
    end.

of_path(Path, Given) ->
    Project = lists:any(fun(F) -> filelib:is_regular(filename:join(Path, F)) end,
                        ["pyproject.toml", "setup.py"]),
    case {filelib:is_regular(Path), filename:basename(Path)} of
        {true, <<"pyproject.toml">>} -> {ok, {project, filename:dirname(Path)}};
        {true, _} -> {ok, {file, Path}};
        {false, _} when Project -> {ok, {project, Path}};
        {false, _} -> {error, {invalid, requirements, Given}}
    end.

%% @doc The installer's arguments.
-spec install_args(required(), map()) -> {ok, [binary()]} | {error, {invalid, extras, term()}}.
install_args({project, Dir}, #{extras := [], args := Args}) ->
    {ok, Args ++ [Dir]};
install_args({project, Dir}, #{extras := Extras, args := Args}) ->
    {ok, Args ++ [iolist_to_binary([Dir, $[, lists:join($,, Extras), $]])]};
install_args(_, #{extras := [_ | _] = Extras}) ->
    {error, {invalid, extras, Extras}};
install_args(none, _) ->
    {ok, []};
install_args({file, File}, #{args := Args}) ->
    {ok, Args ++ [<<"-r">>, File]};
install_args({list, List}, #{args := Args}) ->
    {ok, Args ++ List}.

%% @doc What was installed, so that the same is not installed again.
-spec digest(required(), [binary()], map()) -> binary().
digest(Required, Args, #{installer := Installer}) ->
    Read = [file:read_file(F) || F <- files(Required)],
    hash({Read, Args, Installer}).

files({file, File}) -> [File];
files({project, Dir}) ->
    [filename:join(Dir, F) || F <- ["pyproject.toml", "setup.py", "setup.cfg"]];
files(_) -> [].

%% A change is to be noticed, nobody is to be kept out: no need for crypto.
hash(Term) ->
    Etf = term_to_binary(Term),
    iolist_to_binary(io_lib:format("~32.16.0b", [binary:decode_unsigned(erlang:md5(Etf))])).
