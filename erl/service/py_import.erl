%% SPDX-License-Identifier: Apache-2.0
%% @doc Modules that every context of the default pool has imported: those that
%% run now, and those started later, after a crash or by a renewal too.
-module(py_import).

-export([ensure_imported/1, ensure_imported/2, is_imported/1, import_list/0, import_stats/0,
         clear_imports/0]).
-export([add_path/1, paths/0, clear_paths/0]).

-type reason() :: {invalid, atom(), term()} | not_started | term().

%% @doc Import this module in all contexts of the default pool, and let those
%% that are started later import it before they serve.  The first error is the
%% result, and then later ones do not.
-spec ensure_imported(terrarium_config:name()) -> ok | {error, reason()}.
ensure_imported(Module) ->
    case terrarium_config:name(Module) of
        {ok, Name} -> ensure(Name, none);
        error -> {error, {invalid, module, Module}}
    end.

%% @doc The same, and see whether it has this function (or attribute; perhaps
%% dotted).
-spec ensure_imported(terrarium_config:name(), terrarium_config:name()) -> ok | {error, reason()}.
ensure_imported(Module, Function) ->
    case {terrarium_config:name(Module), terrarium_config:name(Function)} of
        {{ok, M}, {ok, F}} -> ensure(M, F);
        {error, _} -> {error, {invalid, module, Module}};
        {_, error} -> {error, {invalid, function, Function}}
    end.

%% One after the other for each module: who fails takes back what no other has
%% been told of.
ensure(Module, Function) ->
    global:trans({{?MODULE, Module}, self()}, fun() -> tried(Module, Function) end, [node()]).

%% Known before it is tried, so that no context that starts meanwhile misses it.
tried(Module, Function) ->
    case py_startup:add_import(Module) of
        {error, _} = Error -> Error;
        New -> ensured(in_all(ensure, [Module, Function]), New, Module, Function)
    end.

ensured(ok, _, _, none) ->
    ok;
ensured(ok, _, Module, Function) ->
    py_startup:add_function(Module, Function);
ensured(Error, true, Module, _) ->
    _ = py_startup:remove_import(Module),
    Error;
ensured(Error, false, _, _) ->
    Error.

%% @doc Is this one of those modules?
-spec is_imported(terrarium_config:name()) -> boolean().
is_imported(Module) ->
    case terrarium_config:name(Module) of
        {ok, Name} -> lists:keymember(Name, 1, py_startup:imports());
        error -> false
    end.

%% @doc All of them, with the functions that were asked for.
-spec import_list() -> {ok, #{Module :: binary() => [Function :: binary()]}}.
import_list() ->
    {ok, maps:from_list(py_startup:imports())}.

%% @doc How many modules, functions asked for, directories, and contexts of the
%% default pool.
-spec import_stats() ->
    {ok, #{count := non_neg_integer(), functions := non_neg_integer(),
           paths := non_neg_integer(), contexts := non_neg_integer()}}.
import_stats() ->
    Imports = py_startup:imports(),
    {ok, #{count => length(Imports),
           functions => length(lists:append([F || {_, F} <- Imports])),
           paths => length(py_startup:paths()),
           contexts => length(contexts())}}.

%% @doc Later contexts import none of them.  Those that run keep what they have:
%% Python does not unload modules.
-spec clear_imports() -> ok | {error, not_started}.
clear_imports() ->
    py_startup:clear_imports().

%% @doc Put this directory before `sys.path' in all contexts of the default pool,
%% now and later.
-spec add_path(file:filename_all()) -> ok | {error, reason()}.
add_path(Dir) ->
    case terrarium_config:path(Dir) of
        {ok, Path} -> add(Path);
        error -> {error, {invalid, path, Dir}}
    end.

add(Path) ->
    case py_startup:add_path(Path) of
        {error, _} = Error -> Error;
        _ -> in_all(add_path, [Path])
    end.

%% @doc The directories that were added, the latest first.
-spec paths() -> [binary()].
paths() ->
    py_startup:paths().

%% @doc Later contexts do not have them.
-spec clear_paths() -> ok | {error, not_started}.
clear_paths() ->
    py_startup:clear_paths().

%%% In the contexts that run

contexts() ->
    tuple_to_list(py_pool:contexts(py_pools:term(default))).

%% In all at the same time; the first error.
in_all(Function, Args) ->
    Refs = [py_context:submit(Context, 'erlang._imports', Function, Args)
            || Context <- contexts()],
    Results = [py_cast:await(Ref, terrarium_config:get(start_timeout), async_result)
               || Ref <- Refs],
    case [Error || {error, Reason} = Error <- Results, not has_it_later(Reason)] of
        [] -> ok;
        [Error | _] -> Error
    end.

%% It has no helper now, and its next one begins with it.
has_it_later(unavailable) -> true;
has_it_later({context_died, _}) -> true;
has_it_later(_) -> false.
