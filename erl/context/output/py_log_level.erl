%% SPDX-License-Identifier: Apache-2.0
%% @doc From which level on Python hands log records over: for all contexts, those
%% of a runtime, of a pool, or one; the narrowest one that was set counts.
-module(py_log_level).

-export([put/2, forget/1, has_own/1, clear/0, of_context/3, here/1, boot/2]).
-export([pool/1, number/1, level/1]).

-export_type([scope/0, setting/0]).

-type scope() :: all | {runtime, atom()} | {pool, atom()} | {context, pid()}.

-type setting() :: logger:level() | all | none.

%% @doc Set it; `py_observer' alone does.
-spec put(scope(), setting()) -> ok.
put(Scope, Level) ->
    persistent_term:put(?MODULE, (settings())#{Scope => Level}).

%% @doc Does this context have a level of its own?
-spec has_own(pid()) -> boolean().
has_own(Context) ->
    is_map_key({context, Context}, settings()).

%% @doc The context is no more.
-spec forget(pid()) -> ok.
forget(Context) ->
    case settings() of
        #{{context, Context} := _} = Map ->
            persistent_term:put(?MODULE, maps:remove({context, Context}, Map));
        _ ->
            ok
    end.

%% @doc As at the beginning: Python logs as it does anywhere.
-spec clear() -> ok.
clear() ->
    _ = persistent_term:erase(?MODULE),
    ok.

settings() ->
    persistent_term:get(?MODULE, #{}).

%% @doc What counts for a context of this id and runtime.
-spec of_context(pid(), term(), atom()) -> setting() | default.
of_context(Context, Id, Runtime) ->
    case settings() of
        None when map_size(None) =:= 0 -> default;
        #{{context, Context} := Level} -> Level;
        Map -> first([{pool, pool(Id)}, {runtime, Runtime}, all], Map)
    end.

first([], _) -> default;
first([Scope | Rest], Map) ->
    case Map of
        #{Scope := Level} -> Level;
        _ -> first(Rest, Map)
    end.

%% @doc The calling process is the context of this id.
-spec here(term()) -> ok.
here(Id) ->
    _ = erlang:put(?MODULE, Id),
    ok.

%% @doc The BOOT map of the calling context, and in it the level.
-spec boot(atom(), map()) -> map().
boot(Runtime, Boot) ->
    case of_context(self(), erlang:get(?MODULE), Runtime) of
        default -> Boot;
        Level -> Boot#{log_level => number(Level)}
    end.

%% @doc The pool of a context, by its id.
-spec pool(term()) -> atom().
pool(N) when is_integer(N) -> default;
pool({new, _}) -> none;
pool({Pool, N}) when is_atom(Pool), is_integer(N) -> Pool;
pool(_) -> none.

%% @doc Python's number for a level.
-spec number(setting()) -> pos_integer().
number(all) -> 1;
number(debug) -> 10;
number(info) -> 20;
number(notice) -> 25;
number(warning) -> 30;
number(error) -> 40;
number(critical) -> 50;
number(alert) -> 55;
number(emergency) -> 60;
number(none) -> 1000.

%% @doc The level for one of Python's numbers.
-spec level(term()) -> logger:level().
level(N) when is_integer(N), N >= 60 -> emergency;
level(N) when is_integer(N), N >= 55 -> alert;
level(N) when is_integer(N), N >= 50 -> critical;
level(N) when is_integer(N), N >= 40 -> error;
level(N) when is_integer(N), N >= 30 -> warning;
level(N) when is_integer(N), N >= 25 -> notice;
level(N) when is_integer(N), N >= 20 -> info;
level(_) -> debug.
