%% SPDX-License-Identifier: Apache-2.0
%% @doc Where a call goes: to which context, and under which limit of its pool.
%% Nobody is asked; what is looked at is a persistent term for each pool, and the
%% dictionary of the calling process.
-module(py_place).

-export([find/1, route/2, context/1, bound/1, limited/2, calls/1]).

-export_type([place/0]).

-type place() :: {ok, pid()} | {limited, pid(), py_limit:limit()} | {error, term()}.

%% @doc The caller's context of a pool: the one it is bound to, or the one that the
%% pool's routing gives it.
-spec context(py_pools:name()) -> {ok, pid()} | {error, term()}.
context(Name) ->
    case get(bound(Name)) of
        undefined -> picked(Name, py_pools:term(Name));
        Context -> {ok, Context}
    end.

%% @doc Where a call of this function goes that names no context: to the pool that
%% it is registered for, or to the default pool.
-spec route(terrarium_config:name(), terrarium_config:name()) -> place().
route(Module, Function) ->
    find(py_pool_routes:pool(Module, Function)).

%% @doc Where a call goes that names this pool.
-spec find(py_pools:name()) -> place().
find(Name) ->
    case get(bound(Name)) of
        undefined ->
            Pool = py_pools:term(Name),
            placed(picked(Name, Pool), Pool);
        Context ->
            placed({ok, Context}, py_pools:term(Name))
    end.

placed(Place, Pool) when is_tuple(Pool) -> Place;
placed({ok, Context} = Place, Pool) ->
    case py_pool:limit(Pool) of
        none -> Place;
        Limit -> {limited, Context, Limit}
    end.

%% @doc Do this with the context, within the limit.
-spec limited(place(), fun((pid()) -> Result)) -> Result | {error, term()}.
limited({ok, Context}, Run) -> Run(Context);
limited({limited, Context, Limit}, Run) -> py_limit:run(Limit, fun() -> Run(Context) end);
limited({error, _} = Error, _) -> Error.

%% @doc How many calls of a pool are under way (`calls') of how many (`max_calls'),
%% if it has such a limit.
-spec calls(py_pools:name()) -> #{calls => non_neg_integer(), max_calls => pos_integer()}.
calls(Name) ->
    case py_pool:limit(py_pools:term(Name)) of
        none -> #{};
        Limit ->
            {Current, Max} = py_limit:read(Limit),
            #{calls => Current, max_calls => Max}
    end.

%% @doc Under which key a process keeps the context that it is bound to.  That of
%% the default pool is an atom, whose hash is known.
-spec bound(py_pools:name()) -> term().
bound(default) -> '$py_context';
bound(Name) -> {'$py_context', Name}.

picked(Name, {}) ->
    {error, {no_pool, Name}};
picked(_, Pool) when is_tuple(Pool) ->
    N = (erlang:system_info(scheduler_id) - 1) rem tuple_size(Pool),
    {ok, element(N + 1, Pool)};
picked(_, Pool) ->
    {ok, py_pool:pick(Pool)}.
