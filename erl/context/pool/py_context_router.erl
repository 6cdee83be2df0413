%% SPDX-License-Identifier: Apache-2.0
%% @doc Pools of contexts, and which of them a caller gets.
%%
%% A pool is a tuple of contexts in a persistent term; a caller takes the one
%% of its scheduler, or the one that the pool's `routing' says, without asking
%% anybody.  A process that needs the same namespace again binds itself to a
%% context.  The contexts belong to this process; one that ends is replaced at
%% its place.
%%
%% Options of a pool are those of its contexts, and
%% <dl>
%% <dt>`routing'</dt><dd>`scheduler': the caller's scheduler decides (default);
%%   `least_loaded': the context with the fewest requests under way; `sticky':
%%   always the same one for a process</dd>
%% <dt>`max_calls'</dt><dd>so many calls of the pool may be under way; more are
%%   `{error, {overloaded, Current, Max}}'</dd>
%% <dt>`python', `venv', `preload', `spares'</dt><dd>with any of these the pool
%%   has a runtime of its own, whose other options are those of the named
%%   `runtime'</dd>
%% </dl>
-module(py_context_router).
-behaviour(gen_server).

%% The default pool.
-export([start/0, start/1, stop/0, is_started/0]).
%% Named pools.
-export([start_pool/2, start_pool/3, stop_pool/1, pool_started/1, pools/0,
         reload_pool/1, reload_pool/2]).
%% Which pool serves what.
-export([register_pool/2, register_pool/3, unregister_pool/1, unregister_pool/2, lookup_pool/2,
         list_pool_registrations/0]).
%% Which context.
-export([get_context/0, get_context/1, nth/2, bind_context/1, bind_context/2,
         unbind_context/0, unbind_context/1, num_contexts/0, num_contexts/1,
         contexts/0, contexts/1, infos/1]).
-export([start_link/0, init/1, handle_call/3, handle_cast/2, handle_info/2,
         terminate/2]).

-include_lib("kernel/include/logger.hrl").

-type pool() :: py_pools:name().

-type registration() ::
    {{terrarium_config:name(), terrarium_config:name()}, pool()}.
%% Module and function, `_' for all of them, and what serves it.

-export_type([registration/0]).

%%% The default pool

%% @doc Start the default pool with its configured size; fine if it runs.
-spec start() -> {ok, [pid()]} | {error, term()}.
start() ->
    start(#{}).

%% @doc The same with options: `contexts' (how many), and those of contexts.
-spec start(map()) -> {ok, [pid()]} | {error, term()}.
start(Options) when is_map(Options) ->
    Size = maps:get(contexts, Options, terrarium_config:get(contexts)),
    start_pool(default, Size, maps:remove(contexts, Options));
start(Options) ->
    {error, {invalid, options, Options}}.

%% @doc Stop the default pool.
-spec stop() -> ok.
stop() ->
    stop_pool(default).

%% @doc Does the default pool run?
-spec is_started() -> boolean().
is_started() ->
    pool_started(default).

%%% Named pools

%% @equiv start_pool(Name, Size, #{})
-spec start_pool(pool(), pos_integer() | auto) -> {ok, [pid()]} | {error, term()}.
start_pool(Name, Size) ->
    start_pool(Name, Size, #{}).

%% @doc Start a pool of `Size' contexts with these options.  Does not wait for
%% their helpers.  A pool that runs is left as it is.
-spec start_pool(pool(), pos_integer() | auto, map()) ->
    {ok, [pid()]} | {error, term()}.
start_pool(Name, Size, Options) when is_atom(Name) ->
    case {terrarium_config:check(contexts, Size), py_pool:spec(Options)} of
        {error, _} -> {error, {invalid, contexts, Size}};
        {_, {error, _} = Error} -> Error;
        {{ok, auto}, {ok, Spec}} -> ask({start, Name, auto_size(), Spec});
        {{ok, N}, {ok, Spec}} -> ask({start, Name, N, Spec})
    end;
start_pool(Name, _, _) ->
    {error, {invalid, pool, Name}}.

auto_size() ->
    erlang:system_info(schedulers_online).

%% @doc Stop a pool and wait until its contexts have ended.
-spec stop_pool(pool()) -> ok.
stop_pool(Name) ->
    case ask({stop, Name}) of
        {ok, Contexts} -> stop_all(Contexts);
        {error, _} -> ok
    end.

stop_all(Contexts) ->
    Stoppers = [spawn_monitor(fun() -> py_context:stop(C) end) || C <- Contexts],
    lists:foreach(fun({_, Mon}) ->
                          receive
                              {'DOWN', Mon, process, _, _} -> ok
                          end
                  end, Stoppers).

%% @doc Does the pool run?
-spec pool_started(term()) -> boolean().
pool_started(Name) ->
    pool(Name) =/= {}.

%% @doc The pools that run.
-spec pools() -> [pool()].
pools() ->
    case ask(pools) of
        {ok, Names} -> Names;
        {error, _} -> []
    end.

%% @doc Give each context of a pool a fresh helper, one after the other, with no
%% failed call, see {@link py_context:renew/1}.  A pool with a runtime of its own
%% gets a new one of these as well, so that what it preloads is loaded again.
-spec reload_pool(pool()) -> ok | {error, term()}.
reload_pool(Name) ->
    reload_pool(Name, #{}).

%% @doc The same with other options: these go over those that the pool has.
%% Where a context can not be started with them the pool keeps what it had, and
%% the reason is the result.
-spec reload_pool(pool(), map()) -> ok | {error, term()}.
reload_pool(Name, Options) when is_map(Options) ->
    py_pool_change:change(Name, fun(Given) -> maps:merge(Given, Options) end);
reload_pool(_, Options) ->
    {error, {invalid, options, Options}}.

ask(Request) ->
    py_pools:ask(Request).

%%% Which context

%% @doc The caller's context of the default pool.
-spec get_context() -> {ok, pid()} | {error, term()}.
get_context() ->
    get_context(default).

%% @doc The caller's context of a pool: the one it is bound to, or the one of
%% the scheduler it runs on.
-spec get_context(pool()) -> {ok, pid()} | {error, term()}.
get_context(Name) ->
    py_place:context(Name).

%% @doc The N-th context of a pool, from 1.
-spec nth(pool(), pos_integer()) -> {ok, pid()} | {error, term()}.
nth(Name, N) ->
    case py_pool:contexts(pool(Name)) of
        {} ->
            {error, {no_pool, Name}};
        Pool when is_integer(N), N >= 1, N =< tuple_size(Pool) ->
            {ok, element(N, Pool)};
        _ ->
            {error, {invalid, context, N}}
    end.

%% @doc From now on the calling process uses this context where it would use
%% the default pool.
-spec bind_context(pid()) -> ok | {error, term()}.
bind_context(Context) ->
    bind_context(default, Context).

%% @doc The same for a named pool.
-spec bind_context(pool(), pid()) -> ok | {error, term()}.
bind_context(Name, Context) when is_atom(Name), is_pid(Context) ->
    _ = put(py_place:bound(Name), Context),
    ok;
bind_context(_, Context) ->
    {error, {invalid, context, Context}}.

%% @doc The calling process uses the default pool again.
-spec unbind_context() -> ok.
unbind_context() ->
    unbind_context(default).

%% @doc The calling process uses this pool again.
-spec unbind_context(pool()) -> ok.
unbind_context(Name) ->
    _ = erase(py_place:bound(Name)),
    ok.

%% @doc How many contexts the default pool has.
-spec num_contexts() -> non_neg_integer().
num_contexts() ->
    num_contexts(default).

%% @doc How many contexts a pool has.
-spec num_contexts(pool()) -> non_neg_integer().
num_contexts(Name) ->
    tuple_size(py_pool:contexts(pool(Name))).

%% @doc The contexts of the default pool.
-spec contexts() -> [pid()].
contexts() ->
    contexts(default).

%% @doc The contexts of a pool.
-spec contexts(pool()) -> [pid()].
contexts(Name) ->
    tuple_to_list(py_pool:contexts(pool(Name))).

%% @private What the contexts of a pool know about themselves.
-spec infos(pool()) -> [map()].
infos(Name) ->
    [Info || Context <- contexts(Name), {ok, Info} <- [py_context:info(Context)]].

pool(Name) ->
    py_pools:term(Name).

%%% Which pool serves what

%% @doc From now on calls of the functions of this module that name neither a
%% context nor a pool go to that pool.
-spec register_pool(pool(), terrarium_config:name()) -> ok | {error, term()}.
register_pool(Pool, Module) ->
    register_key(Pool, Module).

%% @doc The same for one function, which goes before what holds for its module.
-spec register_pool(pool(), terrarium_config:name(), terrarium_config:name()) ->
    ok | {error, term()}.
register_pool(Pool, Module, Function) ->
    register_key(Pool, {Module, Function}).

register_key(Pool, Given) when is_atom(Pool) ->
    case py_pool_routes:key(Given) of
        {ok, Key} -> ask({register, Key, Given, Pool});
        error -> {error, {invalid, module, Given}}
    end;
register_key(Pool, _) ->
    {error, {invalid, pool, Pool}}.

%% @doc The module is served as any other again; its functions that were
%% registered on their own are not touched.
-spec unregister_pool(terrarium_config:name()) -> ok | {error, term()}.
unregister_pool(Module) ->
    unregister_key(Module).

%% @doc The function is served as its module again.
-spec unregister_pool(terrarium_config:name(), terrarium_config:name()) -> ok | {error, term()}.
unregister_pool(Module, Function) ->
    unregister_key({Module, Function}).

unregister_key(Given) ->
    case py_pool_routes:key(Given) of
        {ok, Key} -> ask({unregister, Key});
        error -> {error, {invalid, module, Given}}
    end.

%% @doc The pool that serves this function.
-spec lookup_pool(terrarium_config:name(), terrarium_config:name()) -> pool().
lookup_pool(Module, Function) ->
    py_pool_routes:pool(Module, Function).

%% @doc All registrations.
-spec list_pool_registrations() -> [registration()].
list_pool_registrations() ->
    py_pool_routes:list().

%%% The process

%% @private Start the process that keeps the pools.
-spec start_link() -> {ok, pid()} | {error, term()}.
start_link() ->
    case gen_server:start_link({local, ?MODULE}, ?MODULE, [], []) of
        {ok, Pid} -> {ok, Pid};
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

%% @private
-spec init([]) -> {ok, py_pools:pools()}.
init([]) ->
    process_flag(trap_exit, true),
    ok = py_pools:erase_former(),
    Named = maps:to_list(terrarium_config:get(pools)),
    Pools = case terrarium_config:get(start_contexts) of
                true -> [{default, #{size => size()}} | Named];
                false -> Named
            end,
    {ok, lists:foldl(fun start_configured/2, py_pools:new(), Pools)}.

size() ->
    case terrarium_config:get(contexts) of
        auto -> auto_size();
        N -> N
    end.

start_configured({Name, #{size := Size} = Options}, Pools) ->
    {ok, Spec} = py_pool:spec(maps:remove(size, Options)),
    {Result, Next} = py_pools:start(Name, Size, Spec, Pools),
    _ = [?LOG_ERROR("The pool ~ts of the configuration can not be started: ~0tp", [Name, Reason])
         || {error, Reason} <- [Result]],
    Next.

%% @private
-spec handle_call(term(), gen_server:from(), py_pools:pools()) ->
    {reply, term(), py_pools:pools()}.
handle_call({start, Name, Size, Spec}, _From, Pools) ->
    {Reply, Next} = py_pools:start(Name, Size, Spec, Pools),
    {reply, Reply, Next};
handle_call({stop, Name}, _From, Pools) ->
    {Contexts, Next} = py_pools:stop(Name, Pools),
    {reply, {ok, Contexts}, Next};
handle_call({change, Name, Spec}, _From, Pools) ->
    {Reply, Next} = py_pools:change(Name, Spec, Pools),
    {reply, Reply, Next};
handle_call({restore, Name, Before}, _From, Pools) ->
    {Steps, Next} = py_pools:restore(Name, Before, Pools),
    {reply, {ok, Steps}, Next};
handle_call({register, Key, Given, Pool}, _From, Pools) ->
    {reply, py_pool_routes:add(Key, Given, Pool), Pools};
handle_call({unregister, Key}, _From, Pools) ->
    {reply, py_pool_routes:remove(Key), Pools};
handle_call({options, Name}, _From, Pools) ->
    case py_pools:find(Name, Pools) of
        {ok, #{spec := #{given := Given}}} -> {reply, {ok, Given}, Pools};
        error -> {reply, {error, {no_pool, Name}}, Pools}
    end;
handle_call(pools, _From, Pools) ->
    {reply, {ok, py_pools:names(Pools)}, Pools};
handle_call(_Request, _From, Pools) ->
    {reply, {error, unknown}, Pools}.

%% @private
-spec handle_cast(term(), py_pools:pools()) -> {noreply, py_pools:pools()}.
handle_cast(_Message, Pools) ->
    {noreply, Pools}.

%% @private
-spec handle_info(term(), py_pools:pools()) -> {noreply, py_pools:pools()}.
handle_info({'DOWN', Mon, process, _, _}, Pools) ->
    {noreply, py_pools:down(Mon, Pools)};
handle_info({replace, Name, N}, Pools) ->
    {noreply, py_pools:replace(Name, N, Pools)};
handle_info(tidy, Pools) ->
    {noreply, py_pools:tidy(Pools)};
handle_info(_Other, Pools) ->
    {noreply, Pools}.

%% @private
-spec terminate(term(), py_pools:pools()) -> ok.
terminate(_Reason, Pools) ->
    py_pools:erase_all(Pools).
