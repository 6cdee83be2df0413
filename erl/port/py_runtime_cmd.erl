%% SPDX-License-Identifier: Apache-2.0
%% @doc How a zygote is started: program, arguments, environment, greeting.
%%
%% Knows the command line of `terrarium_py zygote' (handoff.h) and where the
%% programs lie.  Keeps the command lines that the launcher used, so that a
%% runtime which the launcher started comes back with the same options, also
%% after the application was stopped and started again.
-module(py_runtime_cmd).

-export([command/2, version/1, env/1, hello/0, check_hello/1, remember/2, remembered/0]).

-include("py_wire.hrl").

-define(CONTROL_FD, <<"3">>).
%% So many links may lead to an interpreter, as in the kernel.
-define(LINKS, 40).

%% @doc The argument vector for a runtime: what the launcher used, or what
%% these options mean.
-spec command(atom(), terrarium_config:runtime()) -> {ok, [binary()]} | {error, term()}.
command(Name, Options) ->
    case {launched(Name), python(Options)} of
        {[_ | _] = Argv, _} -> {ok, Argv};
        {_, {ok, Version, Executable}} -> program(Version, args(Name, Executable, Options));
        {_, {error, _} = Error} -> Error
    end.

args(Name, Executable, Options) ->
    [<<"zygote">>, <<"--control">>, ?CONTROL_FD, <<"--name">>, atom_to_binary(Name, utf8)]
        ++ [A || E <- Executable, A <- [<<"--executable">>, E]]
        ++ [A || M <- maps:get(preload, Options, []), A <- [<<"--preload">>, M]]
        ++ [A || D <- maps:get(paths, Options, []), A <- [<<"--path">>, D]]
        ++ [A || {ok, N} <- [maps:find(spares, Options)],
                 A <- [<<"--spares">>, integer_to_binary(N)]].

%% There is one program for each Python that was built; the plain name is the
%% default one.
program(Version, Args) ->
    Name = case Version of
               default -> "terrarium_py";
               _ -> "terrarium_py-" ++ Version
           end,
    Path = filename:join(code:priv_dir(terrarium), Name),
    case filelib:is_regular(Path) of
        true -> {ok, [unicode:characters_to_binary(Path) | Args]};
        false -> {error, {not_built, Name}}
    end.

%% Which Python: {ok, "3.11" | default, [Executable]}.
python(#{venv := Venv}) ->
    Executable = filename:join([Venv, "bin", "python"]),
    case filelib:is_file(Executable) of
        true -> versioned(Executable, venv_version(Venv));
        false -> {error, {no_venv, Venv}}
    end;
python(#{python := Python}) ->
    case is_version(Python) of
        true -> {ok, binary_to_list(Python), []};
        false -> interpreter(Python)
    end;
python(_) ->
    {ok, default, []}.

interpreter(Path) ->
    case {filelib:is_file(Path), filename:pathtype(Path)} of
        {true, absolute} -> versioned(Path, name_version(Path));
        _ -> {error, {no_python, Path}}
    end.

versioned(Executable, {ok, Version}) -> {ok, Version, [Executable]};
versioned(Executable, error) -> {error, {unknown_version, Executable}}.

is_version(B) ->
    re:run(B, "^3\\.[0-9]+$", [{capture, none}]) =:= match.

%% /usr/bin/python3.12, what links to such a one, or an interpreter inside an
%% environment: as the launcher has it (c_src/launcher/python.c).
name_version(Path) ->
    case [V || P <- [Path, linked(Path, ?LINKS)], {match, [V]} <- [in_name(P)]] of
        [Version | _] -> {ok, Version};
        [] -> venv_version(filename:dirname(filename:dirname(Path)))
    end.

in_name(Path) ->
    re:run(filename:basename(Path), "^python(3\\.[0-9]+)$", [{capture, all_but_first, list}]).

linked(Path, N) ->
    case file:read_link_all(Path) of
        {ok, To} when N > 0 -> linked(filename:join(filename:dirname(Path), To), N - 1);
        _ -> Path
    end.

venv_version(Venv) ->
    case file:read_file(filename:join(Venv, "pyvenv.cfg")) of
        {ok, Text} ->
            case re:run(Text, "^version(?:_info)?\\s*=\\s*(3\\.[0-9]+)",
                        [multiline, {capture, all_but_first, list}]) of
                {match, [Version]} -> {ok, Version};
                nomatch -> error
            end;
        {error, _} ->
            error
    end.

%% @doc The version of Python that these options mean: "3.11", or `default' for
%% the one that was built first.
-spec version(terrarium_config:runtime()) -> {ok, string() | default} | {error, term()}.
version(Options) ->
    case python(Options) of
        {ok, Version, _} -> {ok, Version};
        {error, _} = Error -> Error
    end.

%% @doc The VM's environment, with the runtime's own variables over it.
-spec env(terrarium_config:runtime()) -> [{binary(), binary()}].
env(Options) ->
    Own = maps:from_list([{bytes(K), bytes(V)} || {K, V} <- os:env(), K =/= ""]),
    maps:to_list(maps:merge(Own, maps:get(env, Options, #{}))).

bytes(Text) ->
    case unicode:characters_to_binary(Text, unicode, file:native_name_encoding()) of
        B when is_binary(B) -> B;
        _ -> unicode:characters_to_binary(Text)
    end.

%% @doc The VM's hello to a zygote.
-spec hello() -> map().
hello() ->
    #{type => hello, version => ?WIRE_VERSION, fingerprint => ?WIRE_FINGERPRINT,
      vm_pid => list_to_integer(os:getpid())}.

%% @doc Was the zygote built from the same wire?
-spec check_hello(map()) -> ok | {error, {version_mismatch, map()}}.
check_hello(#{<<"version">> := ?WIRE_VERSION, <<"fingerprint">> := ?WIRE_FINGERPRINT}) ->
    ok;
check_hello(Hello) ->
    {error, {version_mismatch, maps:with([<<"version">>, <<"fingerprint">>], Hello)}}.

%% @doc Keep the command line of a runtime that the launcher started.
-spec remember(atom(), [binary()]) -> ok.
remember(Name, Argv) ->
    %% A key for each: runtimes say hello at the same time.
    persistent_term:put({?MODULE, Name}, Argv).

%% @doc The names of the runtimes that the launcher started.
-spec remembered() -> [atom()].
remembered() ->
    [Name || {{?MODULE, Name}, _} <- persistent_term:get()].

launched(Name) ->
    persistent_term:get({?MODULE, Name}, none).
