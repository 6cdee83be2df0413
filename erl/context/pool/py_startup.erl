%% SPDX-License-Identifier: Apache-2.0
%% @doc What contexts begin with beyond their own options, for as long as the
%% application runs: modules and directories of the default pool, and code of
%% all contexts.
%%
%% Kept in a table of `py_registry'.  Whoever starts a helper reads it, anybody
%% writes it.  The version goes up with each change, after it: a helper that was
%% asked for with an older one may lack something.
-module(py_startup).

-export([boot/2, version/0]).
-export([code/0, set_code/1, clear_code/0, valid_code/1]).
-export([add_import/1, add_function/2, remove_import/1, imports/0, clear_imports/0]).
-export([add_path/1, paths/0, clear_paths/0]).

-define(TABLE, py_startup).
%% All that a helper is told at its start has to fit into one control message.
-define(MAX_CODE, 49152).

%% @doc Add what there is to the BOOT map of a context with these options.
-spec boot(py_context_opts:options(), map()) -> map().
boot(Options, Boot) ->
    Shared = case Options of
                 #{startup := shared} -> in_front(paths, paths(), with_imports(Boot));
                 _ -> Boot
             end,
    case code() of
        none -> Shared;
        Code -> Shared#{preload => Code}
    end.

with_imports(Boot) ->
    Names = [Module || {Module, _} <- imports()],
    in_front(imports, Names, Boot).

in_front(_, [], Boot) -> Boot;
in_front(Key, List, Boot) -> Boot#{Key => List ++ (maps:get(Key, Boot, []) -- List)}.

%% @doc A number that goes up with each change.
-spec version() -> non_neg_integer().
version() ->
    case lookup(version) of
        [{_, N}] -> N;
        [] -> 0
    end.

%%% Code

%% @doc The code that each new context runs.
-spec code() -> binary() | none.
code() ->
    case lookup(code) of
        [{_, Code}] -> Code;
        [] -> none
    end.

%% @doc From now on each new context runs this.
-spec set_code(binary()) -> ok | {error, not_started}.
set_code(Code) ->
    change(fun() -> ets:insert(?TABLE, {code, Code}) end).

%% @doc From now on none does.
-spec clear_code() -> ok | {error, not_started}.
clear_code() ->
    change(fun() -> ets:delete(?TABLE, code) end).

%% @doc Code as a binary of UTF-8, if it can be sent to a helper that starts.
-spec valid_code(term()) -> {ok, binary()} | error.
valid_code(Code) when is_binary(Code); is_list(Code) ->
    case terrarium_config:name(Code) of
        {ok, Text} when byte_size(Text) =< ?MAX_CODE -> {ok, Text};
        _ -> error
    end;
valid_code(_) ->
    error.

%%% Imports

%% @doc From now on contexts of the default pool import this module; false:
%% they did before.
-spec add_import(binary()) -> boolean() | {error, not_started}.
add_import(Module) ->
    change_if(fun() -> ets:insert_new(?TABLE, {{import, Module}, number()}) end).

%% @doc A function of a module that somebody asked for.
-spec add_function(binary(), binary()) -> ok | {error, not_started}.
add_function(Module, Function) ->
    change(fun() -> ets:insert(?TABLE, {{function, Module, Function}}) end).

%% @doc From now on they do not import it.
-spec remove_import(binary()) -> ok | {error, not_started}.
remove_import(Module) ->
    change(fun() ->
                   _ = ets:match_delete(?TABLE, {{function, Module, '_'}}),
                   ets:delete(?TABLE, {import, Module})
           end).

%% @doc The modules in the order in which they were asked for, and of each the
%% functions.
-spec imports() -> [{binary(), [binary()]}].
imports() ->
    Functions = matching({{function, '$1', '$2'}}),
    [{Module, [F || [M, F] <- Functions, M =:= Module]}
     || [Module, _] <- in_order(matching({{import, '$1'}, '$2'}))].

%% @doc Forget them all.
-spec clear_imports() -> ok | {error, not_started}.
clear_imports() ->
    change(fun() ->
                   _ = ets:match_delete(?TABLE, {{import, '_'}, '_'}),
                   ets:match_delete(?TABLE, {{function, '_', '_'}})
           end).

%%% Directories

%% @doc From now on contexts of the default pool have it before `sys.path'.
-spec add_path(binary()) -> boolean() | {error, not_started}.
add_path(Dir) ->
    change_if(fun() -> ets:insert_new(?TABLE, {{path, Dir}, number()}) end).

%% @doc These directories; the one that came last is the first.
-spec paths() -> [binary()].
paths() ->
    lists:reverse([Dir || [Dir, _] <- in_order(matching({{path, '$1'}, '$2'}))]).

%% @doc Forget them all.
-spec clear_paths() -> ok | {error, not_started}.
clear_paths() ->
    change(fun() -> ets:match_delete(?TABLE, {{path, '_'}, '_'}) end).

%%% The table, which is there while the application runs

number() ->
    erlang:unique_integer([monotonic]).

in_order(Rows) ->
    lists:sort(fun([_, A], [_, B]) -> A =< B end, Rows).

lookup(Key) ->
    try ets:lookup(?TABLE, Key) catch error:badarg -> [] end.

matching(Pattern) ->
    try ets:match(?TABLE, Pattern) catch error:badarg -> [] end.

change(Fun) ->
    case change_if(Fun) of
        {error, not_started} = Error -> Error;
        _ -> ok
    end.

change_if(Fun) ->
    try
        Changed = Fun(),
        _ = ets:update_counter(?TABLE, version, 1, {version, 0}),
        Changed
    catch
        error:badarg -> {error, not_started}
    end.
