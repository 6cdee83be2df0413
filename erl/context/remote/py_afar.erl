%% SPDX-License-Identifier: Apache-2.0
%% @doc Small questions to another node, about a context or a pool there.  Its loss
%% is an error like the death of a context, and so is that it does not know the
%% question.
-module(py_afar).

-export([call/4, died/1]).

%% @doc The function's result on that node.
-spec call(node(), module(), atom(), [term()]) -> term() | {error, {context_died, term()}}.
call(Node, Module, Function, Args) ->
    try
        erpc:call(Node, Module, Function, Args, infinity)
    catch
        error:{erpc, Reason} -> {error, {context_died, Reason}};
        error:{exception, Reason, _} -> {error, {context_died, Reason}};
        exit:{exception, Reason} -> {error, {context_died, Reason}};
        exit:{signal, Reason} -> {error, {context_died, Reason}};
        throw:Thrown -> throw(Thrown)
    end.

%% @doc Why a process of any node could not answer, as an error of its context.
-spec died(term()) -> {error, {context_died, term()}}.
died({nodedown, _}) -> {error, {context_died, noconnection}};
died(Reason) -> {error, {context_died, Reason}}.
