%% SPDX-License-Identifier: Apache-2.0
%% @doc What a runner (`py_remote_runner') does with a pool of its node rather than with
%% one context: finds the context, holds a slot of the pool's limit, and says with the
%% result how busy the pool is.
-module(py_remote_pool).

-export([where/2, said/2, serve/4]).

%% @doc On which node a function is run with the context of this place as its first
%% argument, and how.
-spec where(py_place:at(), {module(), atom(), [term()]}) ->
    {node(), {module(), atom(), [term()]}}.
where({remote, Node, Pool}, Function) when is_atom(Node) ->
    {Node, {?MODULE, serve, [Pool, any, Function]}};
where({remote, Context, Pool}, Function) ->
    {node(Context), {?MODULE, serve, [Pool, Context, Function]}};
where(Context, {Module, Function, Args}) ->
    {node(Context), {Module, Function, [Context | Args]}}.

%% @doc What has come back from there as the function's result.
-spec said(py_place:at(), term()) -> term().
said({remote, Where, Pool}, {pool, Result, Load}) ->
    Node = case is_pid(Where) of
               true -> node(Where);
               false -> Where
           end,
    ok = py_cluster:report(Pool, Node, Load),
    Result;
said(_, Result) ->
    Result.

%% @private In a runner.
-spec serve(py_pools:name(), any | pid(), {module(), atom(), [term()]}, timeout()) ->
    {pool, term(), py_cluster:load()}.
serve(Pool, Which, {Module, Function, Args}, Left) ->
    Run = fun(Context) -> apply(Module, Function, [Context | Args] ++ [Left]) end,
    {Result, Load} = py_cluster:serve({Pool, Which}, Run),
    {pool, Result, Load}.
