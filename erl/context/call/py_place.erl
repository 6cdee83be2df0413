%% SPDX-License-Identifier: Apache-2.0
%% @doc Where a call goes: to which context, and under which limit of its pool; or
%% to another node (py_cluster), where the pool does not run here or is full.
%% Nobody is asked; what is looked at is a persistent term for each pool, and the
%% dictionary of the calling process.
-module(py_place).

-export([find/1, here/1, route/2, context/1, one/1, near/1, bound/1, limited/2, calls/1]).

-export_type([place/0, at/0]).

-type at() :: pid() | {remote, node() | pid(), py_pools:name()}.
%% Where a call is made: in this context; or in a context of that pool of another
%% node, which that node finds, unless it is this one.

-type place() :: {ok, at()}
               | {limited, pid(), py_limit:limit(), Spill :: py_pools:name() | none}
               | {elsewhere, py_pools:name()}
               | {error, term()}.
%% `Spill': the pool of other nodes that is used as well, when this limit is reached.
%% `elsewhere': this pool only runs on other nodes.

%% @doc The caller's context of a pool: the one it is bound to, or the one that the
%% pool's routing gives it, here or on another node.
-spec context(py_pools:name()) -> {ok, pid()} | {error, term()}.
context(Name) ->
    case get(bound(Name)) of
        undefined ->
            case picked(Name, py_pools:term(Name)) of
                {elsewhere, _} -> py_cluster:context(Name);
                Picked -> Picked
            end;
        Context ->
            {ok, Context}
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
            placed(picked(Name, Pool), Pool, Name);
        Context ->
            placed({ok, Context}, py_pools:term(Name), none)
    end.

%% @doc Where on this node a call goes that comes from another one: nowhere else.
-spec here(py_pools:name()) -> place().
here(Name) ->
    case py_pools:term(Name) of
        {} -> {error, {no_pool, Name}};
        Pool -> placed(picked(Name, Pool), Pool, none)
    end.

placed(Place, Pool, _) when is_tuple(Pool) -> Place;
placed({ok, Context} = Place, Pool, Name) ->
    case py_pool:limit(Pool) of
        none -> Place;
        Limit -> {limited, Context, Limit, spill(Pool, Name)}
    end.

%% What a process has left in its context is on no other node.
spill(Pool, Name) ->
    case py_pool:is_sticky(Pool) of
        true -> none;
        false -> Name
    end.

%% @doc The same place for several calls, which all go to one context.
-spec one(place()) -> place().
one({limited, Context, Limit, _}) ->
    {limited, Context, Limit, none};
one({elsewhere, Name}) ->
    case py_cluster:context(Name) of
        {ok, Context} -> {ok, {remote, Context, Name}};
        {error, _} = Error -> Error
    end;
one(Place) ->
    Place.

%% @doc The context whose options count for a request, if it is of this node.
-spec near(place() | at()) -> pid() | none.
near({ok, At}) -> near(At);
near({limited, Context, _, _}) -> near(Context);
near(Context) when is_pid(Context) -> Context;
near(_) -> none.

%% @doc Do this where the place says, within the limit.
-spec limited(place(), fun((at()) -> Result)) -> Result | {error, term()}.
limited({ok, {remote, _, _} = At}, Run) ->
    py_cluster:begun(Run(At));
limited({ok, Context}, Run) ->
    Run(Context);
limited({limited, Context, Limit, none}, Run) ->
    py_limit:run(Limit, fun() -> Run(Context) end);
limited({limited, Context, Limit, Spill}, Run) ->
    py_limit:run(Limit, fun() -> Run(Context) end,
                 fun(Full) -> py_cluster:run(Spill, Full, Run) end);
limited({elsewhere, Name}, Run) ->
    py_cluster:run(Name, {error, {no_pool, Name}}, Run);
limited({error, _} = Error, _) ->
    Error.

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
    case py_cluster:has(Name) of
        true -> {elsewhere, Name};
        false -> {error, {no_pool, Name}}
    end;
picked(_, Pool) when is_tuple(Pool) ->
    N = (erlang:system_info(scheduler_id) - 1) rem tuple_size(Pool),
    {ok, element(N + 1, Pool)};
picked(_, Pool) ->
    {ok, py_pool:pick(Pool)}.
